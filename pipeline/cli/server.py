"""Commands for operators: the embedded stack, its processes one by one, and the API keys.

They do not use the HTTP API, but the settings, the database and Temporal directly.
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

keys_app = typer.Typer(cls=Commands, no_args_is_help=True, help="Create, list and revoke API keys.")
app.add_typer(keys_app, name="key", rich_help_panel="Operation")


class Role(StrEnum):
    """The permissions of a key; each role includes the ones before it."""

    READER = "reader"
    UPLOADER = "uploader"
    ADMIN = "admin"


@app.command(rich_help_panel="Operation")
def up(
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="The web app's port.")] = None,
    home: Annotated[Path | None, typer.Option(file_okay=False, help="The folder for all data. Default: BULKHEAD_HOME.")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Once it is running, print its URL and home as one JSON document on stdout.")
    ] = False,
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
    """Check everything that Bulkhead needs, and say how to fix what is wrong.

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
                out().print(cell(f"     to fix it: {result.mend}"))
    if as_json:
        print_json([asdict(result) for result in found])
    if not all(result.ok for result in found):
        raise typer.Exit(Exit.ERROR)


@app.command(rich_help_panel="Operation")
def reconcile(as_json: AsJson = False) -> None:
    """Find files in S3 whose event was lost, and start their imports; the search runs on a worker.

    Example: `bulkhead reconcile`
    """
    from pipeline.adapters.temporal import TemporalClient
    from pipeline.cli.terminal import print_json, print_line, say, working
    from pipeline.settings import load_settings

    with closing(TemporalClient.of(load_settings())) as temporal, working("Searching incoming/ ..."):
        found = temporal.reconcile()
    if as_json:
        print_json(asdict(found))
    else:
        seen, started = counted(found.seen, "object"), counted(found.started, "import")
        print_line(f"{seen} checked, {started} started, {found.expired:,} expired")
    if not found.is_whole:
        say("The bucket is too large for one run. The next run continues where this one stopped.")
    if found.unknown:
        files = (
            "uploaded file belongs to an import that is" if found.unknown == 1 else "uploaded files belong to imports that are"
        )
        keys = ", ".join(found.unknown_keys[:10])
        say(f"{found.unknown:,} {files} not in the ledger; nothing was done with them (docs/operations.md): {keys}")


@app.command(rich_help_panel="Operation")
def clean(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print what would be removed.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove expired data by the retention policy (BULKHEAD_KEEP_...) now; a worker also does it every hour.

    Example: `bulkhead clean --dry-run`
    """
    from pipeline.adapters.temporal import TemporalClient
    from pipeline.cli.terminal import print_json, print_line, say, working
    from pipeline.settings import load_settings

    with closing(TemporalClient.of(load_settings())) as temporal, working("Searching for expired data ..."):
        done = temporal.clean(dry_run=dry_run)
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
        folders = (
            "prefix in S3 belongs to an import that is" if done.unknown == 1 else "prefixes in S3 belong to imports that are"
        )
        say(f"{done.unknown:,} {folders} not in the ledger; nothing was done with them.")
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
    os.execv(sys.executable, command)  # replaces this process, so that signals reach gunicorn


@app.command(rich_help_panel="Operation")
def migrate(as_json: AsJson = False) -> None:
    """Migrate the database (ledger, datasets' tables, marts) and create the bucket. Safe to repeat.

    Imports and reads may continue meanwhile. A change that would block them is refused, and then nothing is changed.

    Example: `bulkhead migrate`
    """
    from pipeline.adapters.s3 import Store
    from pipeline.cli.terminal import print_json, print_line, say
    from pipeline.settings import check_secrets, load_settings
    from pipeline.warehouse.migrate import Migrated, migrate

    settings = load_settings()
    check_secrets(settings)
    done = migrate(_needed(settings.database_url), root=settings.datasets_root, say=say)
    if settings.s3_endpoint:  # in AWS the bucket is created together with its notification
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
    name: Annotated[str, typer.Argument(help="The owner or the purpose of the key.")],
    role: Annotated[Role, typer.Option(help="The permissions of the key.")] = Role.UPLOADER,
    dataset: Annotated[
        list[str] | None,
        typer.Option("--dataset", "-d", help="Limit the key to this dataset. May be repeated. Default: all datasets."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Create an API key and print it. It is shown only once, since only its hash is stored.

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
    say("Store it now: it is not shown again. Set it as BULKHEAD_API_KEY, or send it as the header Authorization: Bearer ...")


@keys_app.command("list")
def key_list(as_json: AsJson = False) -> None:
    """List the API keys, without their secrets.

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
    key_id: Annotated[UUID, typer.Argument(metavar="ID", help="The key's ID, as printed by `key list`.")],
    as_json: AsJson = False,
) -> None:
    """Revoke an API key; it is rejected from now on.

    Example: `bulkhead key revoke 01990b3c-...`
    """
    from pipeline.cli.terminal import print_json, say

    with _keys() as keys:
        if not keys.revoke(str(key_id)):
            raise NotFound(f"There is no active key {key_id}. List the keys: bulkhead key list")
    say(f"Revoked {key_id}.")
    if as_json:
        print_json({"id": str(key_id), "revoked": True})


@contextmanager
def _keys() -> Iterator[ApiKeys]:
    """Open the API keys in the database of the settings for the block."""
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
            "DATABASE_URL is not set, and no embedded stack is running under BULKHEAD_HOME. Start one: bulkhead up."
        )
    return database_url
