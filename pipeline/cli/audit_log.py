"""`bulkhead audit-log`: list, export and verify the audit log, in the database of the settings."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.app import AsJson, Commands, Exit, app, deliver, there
from pipeline.cli.keys import database, moment
from pipeline.errors import InvalidRequest

if TYPE_CHECKING:
    from pipeline.ledger.audit_chain import Verdict
    from pipeline.ledger.audit_log import Wanted

log_app = typer.Typer(cls=Commands, no_args_is_help=True, help="List, export and verify the audit log.")
app.add_typer(log_app, name="audit-log", rich_help_panel="Operation")


class FileFormat(StrEnum):
    """The formats of an export."""

    CSV = "csv"
    NDJSON = "ndjson"


Actor = Annotated[str | None, typer.Option(help="Only of this actor: an ID, or a part of its name.")]
ActionOption = Annotated[str | None, typer.Option("--action", help="Only this action, such as key_created or sign_in_failed.")]
Target = Annotated[str | None, typer.Option(help="Only about this target: the ID of an import or a key, or a dataset.")]
ResultOption = Annotated[str | None, typer.Option("--result", help="Only with this result: ok, refused or failed.")]
Since = Annotated[
    str | None, typer.Option(metavar="TIME", help="Not before: a day (2026-01-31), a time (ISO 8601), or 36h, 7d ago.")
]
Until = Annotated[str | None, typer.Option(metavar="TIME", help="Before this time, written the same way.")]


@log_app.command("list")
def list_events(
    actor: Actor = None,
    action: ActionOption = None,
    target: Target = None,
    result: ResultOption = None,
    since: Since = None,
    until: Until = None,
    limit: Annotated[int, typer.Option(help="At most so many events.", min=1, max=10_000)] = 50,
    as_json: AsJson = False,
) -> None:
    """List events, newest first.

    Example: `bulkhead audit-log list --action sign_in_failed --since 7d`
    """
    from pipeline.cli.terminal import out, print_json, rows_table
    from pipeline.ledger.audit_log import AuditLog, to_json

    wanted = _wanted(actor, action, target, result, since, until)
    with database() as engine:
        rows = [to_json(row) for row in AuditLog(engine).page(wanted, limit=limit)]
    if as_json:
        print_json(rows)
    else:
        columns = ("seq", "at", "actor", "action", "target", "result", "address")
        out().print(rows_table(columns, [[_shown(row)[name] for name in columns] for row in rows]))


def _shown(row: Mapping[str, Any]) -> dict[str, Any]:
    target = " ".join(filter(None, (row["target_kind"], row["target_id"])))
    result = " ".join(filter(None, (row["result"], row["reason"])))
    return {**row, "actor": row["actor_name"] or row["actor_kind"], "target": target, "result": result}


@log_app.command("export")
def export(
    form: Annotated[
        FileFormat, typer.Option("--format", help="NDJSON can be verified anywhere; CSV is for people.")
    ] = FileFormat.NDJSON,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write into this file.", dir_okay=False)] = None,
    actor: Actor = None,
    action: ActionOption = None,
    target: Target = None,
    result: ResultOption = None,
    since: Since = None,
    until: Until = None,
    as_json: AsJson = False,
) -> None:
    """Write events as a file, oldest first. The export is itself an event.

    Example: `bulkhead audit-log export --format csv --since 2026-01-01 -o audit-log.csv`
    """
    from pipeline.cli.terminal import print_json
    from pipeline.ledger.audit_files import as_csv, as_ndjson
    from pipeline.ledger.audit_log import Action, AuditLog, Event, cli_actor, to_json

    wanted = _wanted(actor, action, target, result, since, until)
    with database() as engine:
        log = AuditLog(engine)
        filters = {name: str(value) for name, value in vars(wanted).items() if value is not None and name != "actor"}
        log.record(Event(Action.AUDIT_LOG_EXPORT, cli_actor(), "audit_log", details={"format": str(form), **filters}))
        events = map(to_json, log.in_order(wanted))
        if as_json:
            print_json([*events])
        else:
            deliver(as_ndjson(events) if form is FileFormat.NDJSON else as_csv(events), output)


@log_app.command("verify")
def verify(
    head: Annotated[
        str, typer.Option(metavar="HASH", help="The hash of an event that must be in it, noted elsewhere at an earlier time.")
    ] = "",
    file: Annotated[
        Path | None,
        typer.Option(help="Verify this export in NDJSON (without filters) instead of the database.", callback=there),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check that no event was changed, moved or removed; exit code 1 names the first event that does not fit, and how.

    Note the printed hash of the newest event elsewhere, and give it as --head next time: only then is it found if the newest
    events are cut off.

    Example: `bulkhead audit-log verify --head 9f86d081884c7d65...`
    """
    from pipeline.cli.terminal import print_json, print_line, say

    found = _verdict(head.strip().lower(), file)
    if as_json:
        print_json({"ok": found.ok, **vars(found)})
    elif found.ok:
        print_line(f"{found.events:,} events fit to each other. The newest is {found.head_seq}, its hash {found.head_hash}")
    if not found.ok:
        say(f"bulkhead: {found.fault}", "red")
        raise typer.Exit(Exit.ERROR)
    if not head:
        say("Note that hash elsewhere: with --head HASH the next verification also finds out if the newest events are cut off.")


def _verdict(head: str, file: Path | None) -> Verdict:
    from pipeline.ledger.audit_chain import verify
    from pipeline.ledger.audit_log import AuditLog

    if file is None:
        with database() as engine:
            return AuditLog(engine).verify(head)
    with file.open(encoding="utf-8") as lines:
        return verify(_events(lines), head)


def _events(lines: Iterator[str]) -> Iterator[dict[str, Any]]:
    """Yield the events of an export. Raises InvalidRequest."""
    from pipeline.ledger.audit_log import COLUMNS

    for number, line in enumerate(lines, 1):
        try:
            event = json.loads(line)
            if not (isinstance(event, dict) and event.keys() >= set(COLUMNS) and isinstance(event["seq"], int)):
                raise ValueError("it lacks fields")
        except ValueError as error:
            raise InvalidRequest(f"Line {number} of the file is no event: {error}. Use an export in NDJSON.") from error
        yield event


def _wanted(
    actor: str | None, action: str | None, target: str | None, result: str | None, since: str | None, until: str | None
) -> Wanted:
    from pipeline.display import meant
    from pipeline.ledger.audit_log import Action, Result, Wanted

    for name, given, known in (("action", action, Action), ("result", result, Result)):
        if given is not None and given not in [*known]:
            raise typer.BadParameter(f"Unknown {name} {given!r}.{meant(given, known)} There are: {', '.join(known)}.")
    return Wanted(actor, action, target, result, _past(since), _past(until))


def _past(text: str | None) -> datetime | None:
    """Return a time, a day in UTC, or a length of time before now. Raises InvalidRequest."""
    from datetime import UTC

    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text.strip())
        return at if at.tzinfo else at.replace(tzinfo=UTC)
    except ValueError:
        ahead = moment(text)
        assert ahead is not None, "there is a text"
        now = datetime.now(UTC)
        return now - (ahead - now)
