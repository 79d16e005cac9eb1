"""Commands for backups: make and verify them, and restore one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.backup.kinds import Only
from pipeline.cli.app import AsJson, Exit, app
from pipeline.display import counted
from pipeline.errors import InvalidConfiguration

if TYPE_CHECKING:
    from pipeline.backup.create import Made
    from pipeline.backup.places import Place
    from pipeline.backup.restore import Restored
    from pipeline.backup.verify import Verification
    from pipeline.settings import Settings

ROWS_SHOWN = 20
"""The maximum number of imports and files of each kind on the screen; --json has up to 1,000."""


@app.command(rich_help_panel="Operation")
def backup(
    destination: Annotated[
        str | None,
        typer.Argument(metavar="DEST", help="A folder, or s3://BUCKET/PREFIX. Default: BULKHEAD_BACKUPS."),
    ] = None,
    keep: Annotated[int, typer.Option(min=1, help="Remove all but this many of the newest backups in DEST.")] = 7,
    verify: Annotated[
        bool, typer.Option("--verify", help="Make no backup: read all that are in DEST, and report what is damaged.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Back up the database and the bucket as of one moment, while imports go on. Known objects are not copied again.

    Examples: `bulkhead backup /mnt/backups --keep 14`, `bulkhead backup --verify /mnt/backups`
    """
    from pipeline.backup.places import place_of
    from pipeline.cli.terminal import print_json
    from pipeline.secret_checks import check_secrets
    from pipeline.settings import load_settings

    settings = load_settings()
    place = place_of(destination or settings.backups or str(settings.home / "backups"), settings)
    if verify:
        _verify(place, as_json)
        return
    from pipeline.backup.create import back_up

    check_secrets(settings)
    if not settings.database_url:
        raise InvalidConfiguration(
            "DATABASE_URL is not set, and no embedded stack is running under BULKHEAD_HOME: there is nothing to back up."
        )
    with _telling() as tell:
        made = back_up(settings, place, keep=keep, tell=tell)
    if as_json:
        print_json({"destination": place.shown, **made.manifest.to_json(), "removed": made.removed})
    else:
        _print_made(made, place)


def _print_made(made: Made, place: Place) -> None:
    from pipeline.cli.terminal import print_line, say

    manifest, database, objects = made.manifest, made.manifest.database, made.manifest.objects
    print_line(f"backup {manifest.name} in {place.shown}")
    records = counted(sum(database.records.values()), "record")
    print_line(f"database: {counted(sum(database.imports.values()), 'import')}, {records}, {_size(database.dump.size_bytes)}")
    news = f"{objects.copied:,} of them new ({_size(objects.copied_bytes)})"
    print_line(f"objects: {objects.count:,} ({_size(objects.size_bytes)}), {news}")
    if made.removed:
        say(f"Older backups removed: {', '.join(made.removed)}")


def _verify(place: Place, as_json: bool) -> None:
    from pipeline.backup.verify import verify
    from pipeline.cli.terminal import print_json

    with _telling() as tell:
        found = verify(place, tell=tell)
    if as_json:
        print_json({"destination": place.shown, "good": found.is_good, **asdict(found)})
    else:
        _print_verified(found)
    if not found.is_good:
        raise typer.Exit(Exit.ERROR)


def _print_verified(found: Verification) -> None:
    from pipeline.cli.terminal import print_line, say

    for one in found.backups:
        state = "ok" if not one.damaged else f"damaged: {counted(one.damaged, 'problem')}"
        print_line(f"{one.name}: {state}, {counted(one.objects, 'object')}, {_size(one.size_bytes)}")
        for problem in one.problems:
            say(f"  {problem}")
    if found.incomplete:
        say(f"Incomplete, and removed by the next backup: {', '.join(found.incomplete)}")
    if not found.is_good:
        say("Make a new backup now. A damaged one may still be restored in part (docs/backup.md).", "red")


@app.command(rich_help_panel="Operation")
def restore(
    source: Annotated[str, typer.Argument(metavar="SRC", help="The folder or s3://BUCKET/PREFIX of the backups.")],
    name: Annotated[
        str | None, typer.Option("--backup", metavar="NAME", help="Which backup, by its name. Default: the newest.")
    ] = None,
    only: Annotated[Only | None, typer.Option(help="Restore one half, because the other survived.")] = None,
    home: Annotated[
        Path | None,
        typer.Option(file_okay=False, help="Restore into the embedded stack in this folder, which must not be running."),
    ] = None,
    database_url: Annotated[
        str | None, typer.Option("--to-database-url", metavar="URL", help="Restore into this database. Default: DATABASE_URL.")
    ] = None,
    bucket: Annotated[
        str | None, typer.Option("--to-bucket", metavar="BUCKET", help="Restore into this bucket. Default: BULKHEAD_BUCKET.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace what is in the database and the bucket.")] = False,
    as_json: AsJson = False,
) -> None:
    """Restore a backup; then everything that was accepted before it goes on. Says what came later and what is missing.

    Without DATABASE_URL the target is the embedded stack in BULKHEAD_HOME. Stop web app and workers first.

    Example: `bulkhead restore /mnt/backups --home /srv/bulkhead`
    """
    from pipeline.backup.manifest import chosen
    from pipeline.backup.places import place_of
    from pipeline.backup.restore import restore as run
    from pipeline.cli.terminal import print_json
    from pipeline.settings import load_settings

    settings = load_settings(home)
    changes = {"database_url": database_url, "bucket": bucket}
    owner = {"migration_database_url": ""} if database_url else {}  # it is of another database
    with _target(settings, is_embedded=home is not None or not (database_url or settings.database_url)) as target:
        target = target.model_copy(update={key: value for key, value in changes.items() if value} | owner)
        place = place_of(source, target)
        with _telling() as tell:
            done = run(target, place, chosen(place, name), only=only, force=force, tell=tell)
    if as_json:
        print_json({"source": place.shown, **_as_json(done)})
    else:
        _print_restored(done)


@contextmanager
def _target(settings: Settings, *, is_embedded: bool) -> Iterator[Settings]:
    """Provide the settings of the target; for an embedded stack, with its servers running during the block."""
    if not is_embedded:
        yield settings
        return
    from pipeline.cli.terminal import say
    from pipeline.local.stack import SERVERS, Stack

    with Stack(settings.home, components=SERVERS, say=say) as stack:
        yield settings.of(stack.environment)


def _as_json(done: Restored) -> dict[str, Any]:
    database = asdict(done.database) if done.database else None
    return {
        "backup": done.manifest.name,
        "taken_at": done.manifest.taken_at,
        "database": database,
        "objects": asdict(done.objects) if done.objects else None,
        **{key: asdict(done)[key] for key in ("continuing", "later", "unknown", "missing", "lost_runs", "problem")},
    }


def _print_restored(done: Restored) -> None:
    from pipeline.cli.terminal import out, print_line, rows_table, say

    print_line(f"restored: backup {done.manifest.name}, everything up to {done.manifest.taken_at}")
    if done.database:
        records = ", ".join(f"{count:,} records of {name}" for name, count in done.database.records.items())
        print_line(f"database: {counted(done.database.imports, 'import')}; {records or 'no records'}")
        for note in done.database.notes:
            say(note)
    if done.objects:
        print_line(f"objects: {done.objects.written:,} written, {done.objects.unchanged:,} were there")
        for key in done.objects.newer[:ROWS_SHOWN]:
            say(f"Not replaced, for a newer file is there: {key}")
    if done.continuing:
        rows = [[one.import_id, one.dataset, one.filename, one.state] for one in done.continuing[:ROWS_SHOWN]]
        out().print(rows_table(("continues", "dataset", "file", "state"), rows))
    if done.later:
        out().print(rows_table(("came later, and is imported",), [[key] for key in done.later[:ROWS_SHOWN]]))
    if done.missing:
        lost = [[one.import_id, one.dataset, one.filename, one.state, one.meaning] for one in done.missing[:ROWS_SHOWN]]
        out().print(rows_table(("lacks objects", "dataset", "file", "state", "what follows"), lost))
    if done.unknown:
        say(f"Files that nothing was done with (docs/operations.md): {', '.join(done.unknown[:ROWS_SHOWN])}")
    counts = f"{len(done.continuing):,} go on, {len(done.later):,} came later, {len(done.missing):,} lack objects"
    say(f"Imports: {counts}. {done.problem}".rstrip())
    say("What was accepted after this moment and is in neither bucket nor database is gone: ask for those files again.")
    say("Now start the workers and the web app.")


def _size(size_bytes: int) -> str:
    import humanize

    return humanize.naturalsize(size_bytes, binary=True)


@contextmanager
def _telling() -> Iterator[Any]:
    """Show on a terminal what is being done, and how far it is."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from pipeline.backup.progress import silent
    from pipeline.cli.terminal import err

    console = err()
    if not console.is_terminal:
        yield silent
        return
    columns = (TextColumn("{task.description:<28}"), BarColumn(28), TextColumn("{task.fields[note]}"), TimeElapsedColumn())
    with Progress(*columns, console=console, redirect_stdout=False) as progress:
        tasks: dict[str, Any] = {}

        def tell(step: str, done: int, total: int | None) -> None:
            if step not in tasks:
                for task in tasks.values():  # a step is over when the next one begins
                    progress.update(task, total=1, completed=1)
                tasks[step] = progress.add_task(step, total=total, note="")
            note = _size(done) if step.endswith("bytes") else f"{done:,}" if done else ""
            progress.update(tasks[step], completed=done, total=total, note=note)

        yield tell
