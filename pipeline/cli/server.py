"""Commands for operators: the embedded stack, and its processes one by one.

They do not use the HTTP API, but the settings, the database and Temporal directly.
"""

from __future__ import annotations

import os
import sys
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.app import AsJson, Exit, app
from pipeline.display import counted
from pipeline.errors import InvalidConfiguration

if TYPE_CHECKING:
    pass


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
        print_line(f"reports of {counted(done.audits, 'audit')} {'would be ' if dry_run else ''}removed")
        print_line(f"{counted(done.dropped, 'dump')} of dropped datasets {'would be ' if dry_run else ''}removed")
        uploads, folders = counted(done.uploads, "abandoned upload"), counted(done.folders, "folder")
        print_line(f"{uploads}, {counted(done.drafts, 'draft')}, {folders} of the worker")
        keys, sign_ins = counted(done.idempotency_keys, "idempotency key"), counted(done.sign_ins, "sign-in")
        print_line(f"{counted(done.dry_runs, 'dry run')} expired, {keys}, {sign_ins}")
        mails, letters = counted(done.mails, "mail"), counted(done.dead_letters, "dead letter")
        print_line(f"{mails} in the outbox, {letters} of the relay, {counted(done.foreign_writes, 'note')} of foreign writes")
        print_line(f"{counted(done.audit_events, 'event')} of the audit log")
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
def worker(
    queues: Annotated[
        str,
        typer.Option(
            help="Only this work, separated by commas: validation, loading, messages, upkeep."
            " Default: BULKHEAD_WORKER_QUEUES, or all."
        ),
    ] = "",
) -> None:
    """Run a worker until SIGTERM. Whatever work it is limited to, it also moves the queues of all datasets on.

    Example: `bulkhead worker --queues validation,loading`
    """
    from pipeline.contracts.steps import Work

    named = [name.strip() for name in queues.split(",") if name.strip()]
    if unknown := sorted(set(named) - set(Work)):
        raise typer.BadParameter(
            f"There is no work {', '.join(unknown)}. Choose from: {', '.join(Work)}.", param_hint="--queues"
        )
    from pipeline.orchestration.worker import main

    main([Work(name) for name in named])


@app.command(rich_help_panel="Operation")
def web() -> None:
    """Run the web app and the API under gunicorn until SIGTERM.

    Example: `bulkhead web`
    """
    sys.stdout.flush()
    command = [sys.executable, "-m", "gunicorn", "-c", "python:web.gunicorn", "web:create_app()"]
    os.execv(sys.executable, command)  # replaces this process, so that signals reach gunicorn


def needed(database_url: str) -> str:
    """Return the URL. Raises InvalidConfiguration if it is empty."""
    if not database_url:
        raise InvalidConfiguration(
            "DATABASE_URL is not set, and no embedded stack is running under BULKHEAD_HOME. Start one: bulkhead up."
        )
    return database_url
