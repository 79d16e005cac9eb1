"""Commands for whoever runs Bulkhead: the embedded stack, its processes one by one, and the keys.

These stand beside the server, not in front of it: they use the settings, the database and Temporal directly.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from pipeline.cli.app import AsJson, Commands, Exit, app
from pipeline.display import counted
from pipeline.errors import InvalidConfiguration, NotFound, Unreachable

if TYPE_CHECKING:
    from pipeline.ledger.api_keys import ApiKeys

keys_app = typer.Typer(cls=Commands, no_args_is_help=True, help="Make, list and revoke API keys.")
app.add_typer(keys_app, name="key", rich_help_panel="Operation")


class Role(StrEnum):
    """What a key may do; each may also do what those before it may."""

    READER = "reader"
    UPLOADER = "uploader"
    ADMIN = "admin"


@app.command(rich_help_panel="Operation")
def up(
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="The web app's port.")] = None,
    home: Annotated[Path | None, typer.Option(file_okay=False, help="Where all state is kept.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Once it is up, print where as one JSON document on stdout.")] = False,
) -> None:
    """Run everything on this machine until Ctrl-C: S3, PostgreSQL, Temporal, relay, worker and web app.

    Example: `bulkhead up --port 9000 --home /srv/bulkhead`
    """
    from pipeline.cli.terminal import print_json, say
    from pipeline.local.up import run
    from pipeline.settings import load_settings

    def tell(up: dict[str, str]) -> None:
        print_json(up)
        sys.stdout.flush()

    settings = load_settings(home)
    run(settings.home, port=port or settings.port, say=say, tell=tell if as_json else None)


@app.command(rich_help_panel="Operation")
def doctor(as_json: AsJson = False) -> None:
    """Check what Bulkhead needs and say how to mend what is not right.

    Example: `bulkhead doctor`
    """
    from pipeline.cli.doctor import checks
    from pipeline.cli.terminal import cell, out, print_json
    from pipeline.settings import load_settings

    found = []
    for result in checks(load_settings()):
        found.append(result)
        if not as_json:
            mark, style = ("ok  ", "green") if result.ok else ("fail", "red")
            out().print(cell(mark, style), cell(result.name, "bold"), cell(result.detail))
            if not result.ok:
                out().print(cell(f"     to mend it: {result.mend}"))
    if as_json:
        print_json([asdict(result) for result in found])
    if not all(result.ok for result in found):
        raise typer.Exit(Exit.ERROR)


@app.command(rich_help_panel="Operation")
def reconcile(as_json: AsJson = False) -> None:
    """Look for files in S3 that no event announced, and start their imports; a worker does the looking.

    Example: `bulkhead reconcile`
    """
    from pipeline.adapters.temporal import TemporalClient
    from pipeline.cli.terminal import print_json, print_line, say, working
    from pipeline.settings import load_settings

    with closing(TemporalClient.of(load_settings())) as orchestrator, working("Looking through incoming/ ..."):
        found = orchestrator.reconcile()
    if as_json:
        print_json(asdict(found))
    else:
        seen, started = counted(found.seen, "object"), counted(found.started, "import")
        print_line(f"{seen} looked at, {started} started, {found.expired:,} expired")
    if not found.is_whole:
        say("The bucket is too large for one run: the next one goes on where this one stopped.")
    if found.unknown:
        are = "uploaded file is of an import" if found.unknown == 1 else "uploaded files are of imports"
        keys = ", ".join(found.unknown_keys[:10])
        say(f"{found.unknown:,} {are} that the ledger does not know, and left alone (docs/operations.md): {keys}")


@app.command(rich_help_panel="Operation")
def clean(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove what is not kept any longer, as BULKHEAD_KEEP_... say; a worker does it, and does so by itself every hour.

    Example: `bulkhead clean --dry-run`
    """
    from pipeline.adapters.temporal import TemporalClient
    from pipeline.cli.terminal import print_json, print_line, say, working
    from pipeline.settings import load_settings

    with closing(TemporalClient.of(load_settings())) as orchestrator, working("Looking for what is not kept any longer ..."):
        done = orchestrator.clean(dry_run=dry_run)
    if as_json:
        print_json({"dry_run": dry_run, **asdict(done)})
    else:
        for name in ("batches", "results", "reports", "sources"):
            print_line(f"{name} of {counted(getattr(done, name), 'import')} {'would be ' if dry_run else ''}removed")
        uploads, folders = counted(done.uploads, "abandoned upload"), counted(done.folders, "folder")
        print_line(f"{uploads}, {folders} of the worker")
        keys, sign_ins = counted(done.idempotency_keys, "idempotency key"), counted(done.sign_ins, "sign-in")
        print_line(f"{counted(done.dry_runs, 'dry run')} expired, {keys}, {sign_ins}")
        mails, letters = counted(done.mails, "mail"), counted(done.dead_letters, "dead letter")
        print_line(f"{mails} in the outbox, {letters} of the relay, {counted(done.foreign_writes, 'note')} of foreign writes")
    if done.unknown:
        are = "prefix in S3 is" if done.unknown == 1 else "prefixes in S3 are"
        say(f"{done.unknown:,} {are} of imports that the ledger does not know, and left alone.")
    for error in done.errors:
        say(f"Not removed: {error}")
    if done.failed:
        raise typer.Exit(Exit.ERROR)


@app.command(rich_help_panel="Operation")
def worker() -> None:
    """Run a worker until SIGTERM.

    Example: `bulkhead worker`
    """
    from pipeline.orchestration.worker import main

    main()


@app.command(rich_help_panel="Operation")
def web() -> None:
    """Run the web app and the API under gunicorn until SIGTERM.

    Example: `bulkhead web`
    """
    sys.stdout.flush()
    command = [sys.executable, "-m", "gunicorn", "-c", "python:web.gunicorn", "web:create_app()"]
    os.execv(sys.executable, command)  # in our place, so that signals reach it


@app.command(rich_help_panel="Operation")
def migrate(as_json: AsJson = False) -> None:
    """Bring the database up to date: the ledger, the datasets' tables, the marts; make the bucket. Safe to repeat.

    Files may be loaded and records read meanwhile. What would keep them waiting is refused, and nothing is changed.

    Example: `bulkhead migrate`
    """
    from pipeline.adapters.s3 import Store
    from pipeline.cli.terminal import print_json, print_line, say
    from pipeline.settings import check_secrets, load_settings
    from pipeline.warehouse.migrate import Migrated, migrate

    settings = load_settings()
    check_secrets(settings)
    done = migrate(_needed(settings.database_url), root=settings.datasets_root, say=say)
    if settings.s3_endpoint:  # in AWS the bucket is made with its notification, not by us
        Store.of(settings).ensure_bucket()
        done.append(Migrated(f"bucket {settings.bucket}"))
    if as_json:
        print_json([asdict(one) for one in done])
    else:
        for one in done:
            print_line(str(one))


# --- keys ---


@keys_app.command("create")
def key_create(
    name: Annotated[str, typer.Argument(help="Whose key it is, or what for.")],
    role: Annotated[Role, typer.Option(help="What it may do.")] = Role.UPLOADER,
    dataset: Annotated[
        list[str] | None, typer.Option("--dataset", "-d", help="The only dataset there is for it; may be repeated. Else all.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a key and print it. It is shown this once: only a hash of it is kept.

    Example: `bulkhead key create "nightly export" --role uploader --dataset places`
    """
    from pipeline.cli.terminal import print_json, print_line, say
    from pipeline.datasets.dataset import load_dataset
    from pipeline.settings import load_settings

    for one in dataset or ():
        load_dataset(one, load_settings().datasets_root)
    with _keys() as keys:
        text, made = keys.create(name, role, dataset or None)
    if as_json:
        print_json({**made.to_json(), "key": text})
    else:
        print_line(text)
    say("Keep it: it is shown this once. It goes into BULKHEAD_API_KEY, or into the header Authorization: Bearer ...")


@keys_app.command("list")
def key_list(as_json: AsJson = False) -> None:
    """List the keys there are, without their secrets.

    Example: `bulkhead key list`
    """
    from pipeline.cli.terminal import out, print_json, rows_table

    with _keys() as keys:
        rows = [key.to_json() for key in keys.list()]
    if as_json:
        print_json(rows)
    else:
        columns = ("id", "name", "role", "datasets", "created_at", "last_used_at", "revoked_at")
        shown = [{**row, "datasets": "all" if row["datasets"] is None else ", ".join(row["datasets"])} for row in rows]
        out().print(rows_table(columns, [[row[name] for name in columns] for row in shown]))


@keys_app.command("revoke")
def key_revoke(
    key_id: Annotated[UUID, typer.Argument(metavar="ID", help="The key's id, as `key list` prints it.")],
    as_json: AsJson = False,
) -> None:
    """Revoke a key: from now on it opens nothing.

    Example: `bulkhead key revoke 01990b3c-...`
    """
    from pipeline.cli.terminal import print_json, say

    with _keys() as keys:
        if not keys.revoke(str(key_id)):
            raise NotFound(f"There is no key {key_id} that could be revoked. See which there are: bulkhead key list")
    say(f"Revoked {key_id}.")
    if as_json:
        print_json({"id": str(key_id), "revoked": True})


@contextmanager
def _keys() -> Iterator[ApiKeys]:
    """The keys in the database of the settings."""
    from sqlalchemy.exc import OperationalError

    from pipeline.adapters import postgres
    from pipeline.ledger.api_keys import ApiKeys
    from pipeline.settings import load_settings

    engine = postgres.connect(_needed(load_settings().database_url), pool_size=1, name="bulkhead key")
    try:
        yield ApiKeys(engine)
    except OperationalError as error:
        raise Unreachable(f"PostgreSQL does not answer: {error.orig}") from error
    finally:
        engine.dispose()


def _needed(database_url: str) -> str:
    if not database_url:
        raise InvalidConfiguration(
            "DATABASE_URL is not set, and no embedded stack has left one under BULKHEAD_HOME: bulkhead up."
        )
    return database_url
