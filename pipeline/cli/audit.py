"""`bulkhead audit`: check what is loaded in the warehouse of the settings, here, or by a server. Nothing is written there."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.app import AsJson, Exit, Timeout, app, client, dataset_names, deliver, in_words
from pipeline.contracts.audits import AuditState
from pipeline.display import counted, percent_text
from pipeline.errors import InvalidRequest, Unreachable

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from pipeline.datasets.dataset import Dataset
    from pipeline.settings import Settings

ON_SCREEN_ROWS = 50


@app.command(rich_help_panel="Records")
def audit(
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help="The dataset's name.", autocompletion=dataset_names)],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the whole report into this folder.", file_okay=False)
    ] = None,
    by_server: Annotated[
        bool, typer.Option("--server", help="Have the server do it, which keeps the result, and wait for it.")
    ] = False,
    timeout: Timeout = None,
    as_json: AsJson = False,
) -> None:
    """Check everything that is loaded by the dataset's rules, without a server; exit code 3 if there are errors.

    Rules that were added or changed after a load, and records that other clients wrote, are checked like those of a file.
    The findings have the same codes and files as those of an import. Nothing is written to the warehouse.

    Example: `bulkhead audit places --output audit/`
    """
    if timeout is not None and not by_server:
        raise typer.BadParameter("needs --server", param_hint="--timeout")
    if by_server:
        raise typer.Exit(_audit_by_server(dataset, timeout, output, as_json=as_json))
    from pipeline.cli.datasets_root import current_root
    from pipeline.cli.terminal import print_json, working
    from pipeline.datasets.dataset import load_dataset
    from pipeline.sandbox import audit_table
    from pipeline.settings import load_settings

    settings = load_settings()
    rules = load_dataset(dataset, current_root(settings))
    with tempfile.TemporaryDirectory(prefix="bulkhead-") as scratch:
        report = Path(scratch) / audit_table.REPORT
        with working(f"Auditing {dataset} ..."):
            _audit(Path(scratch), rules, settings)
        summary = json.loads((report / audit_table.SUMMARY).read_bytes())
        groups = json.loads((report / "groups.json").read_bytes())["items"]
        if as_json:
            print_json({**summary, "findings": json.loads((report / "findings.json").read_bytes())})
        else:
            _print(summary, groups)
        if output is not None:
            _write_report(report, output)
    raise typer.Exit(Exit.REJECTED if summary["errors"] else Exit.OK)


def _audit_by_server(dataset: str, timeout: float | None, output: Path | None, *, as_json: bool) -> Exit:
    """Have the server audit the dataset, print the result, and return the exit code."""
    from pipeline.cli.terminal import print_json, say, working

    server = client()
    started = server.audits.start(dataset)
    say(f"The audit: {server.url}/datasets/{dataset}/audits/{started['id']}")
    with working(f"Auditing {dataset} ..."):
        one = server.audits.wait(started, timeout=timeout)
    if one["state"] != AuditState.SUCCEEDED:
        say(f"The audit is {one['state']}. {one['reason']}".rstrip())
        if as_json:
            print_json(one)
        return Exit.CANCELED if one["state"] == AuditState.CANCELED else Exit.ERROR
    summary = {**one, "errors": one["findings"]["errors"], "warnings": one["findings"]["warnings"]}
    if as_json:
        print_json({**summary, "findings": [*server.audits.errors(one)]})
    else:
        _print(summary, server.audits.error_groups(one)["items"])
    if output is not None:
        for form in ("csv", "json", "parquet", "xlsx"):
            with server.audits.errors_file(one, form) as file:
                deliver(file, output / f"findings.{form}")
    return Exit.REJECTED if summary["errors"] else Exit.OK


def _audit(folder: Path, rules: Dataset, settings: Settings) -> None:
    """Export the table into the folder and write its report there. Raises Unreachable if there is no such table to be read."""
    from pipeline.adapters import postgres
    from pipeline.adapters.postgres_access import to_database
    from pipeline.sandbox import audit_table, process
    from pipeline.warehouse import existing_edges
    from pipeline.warehouse.table_export import export_table

    if not settings.database_url:
        raise Unreachable("An audit reads the warehouse: set DATABASE_URL.")
    process.start()  # it loads its modules during the export
    engine = postgres.connect(to_database(settings), pool_size=1, name="bulkhead audit")
    try:
        if not existing_edges.has_table(engine, rules):
            raise Unreachable(f"The warehouse does not answer, or has no table of {rules.name}: run bulkhead migrate.")
        _record(engine, rules.name)
        exported = export_table(engine, rules, folder / audit_table.TABLE)
    finally:
        engine.dispose()
    process.run(
        audit_table.audit,
        folder,
        rules,
        "offline",
        exported.records,
        exported.longest_bytes,
        memory_bytes=settings.validation_memory_bytes,
        seconds=settings.validation_seconds,
    )


def _record(engine: Engine, dataset: str) -> None:
    """Record in the audit log that an audit begins; a role that may only read the warehouse cannot, and says so."""
    from sqlalchemy.exc import DBAPIError

    from pipeline.cli.terminal import say
    from pipeline.ledger.audit_log import Action, AuditLog, Event, cli_actor

    try:
        AuditLog(engine).record(Event(Action.AUDIT_STARTED, cli_actor(), "dataset", dataset))
    except DBAPIError as error:
        say(f"This audit is not in the audit log, which cannot be written: {str(error.orig).partition(chr(10))[0]}")


def _print(summary: dict[str, Any], groups: list[dict[str, Any]]) -> None:
    from pipeline.cli.terminal import groups_view, out, rows_table, say

    if groups:
        out().print(groups_view(groups[:ON_SCREEN_ROWS]))
        shown = ("code", "severity", "findings", "records")
        rows = [[*(one[name] for name in shown), percent_text(one["percent"])] for one in summary["codes"]]
        out().print(rows_table([*shown, "share"], rows))
    counts = ", ".join(counted(summary[f"{thing}s"], thing) for thing in ("record", "error", "warning"))
    met = sum(one["met"] for one in summary["rules"])
    say(f"{summary['dataset']}: {counts}; {met:,} of {counted(len(summary['rules']), 'rule')} met.")
    if summary["invalid"]:
        of_all = f"{percent_text(summary['invalid_percent'])} of the records"
        say(f"{counted(summary['invalid'], 'record')} with errors, {of_all}. All findings: --json, or --output FOLDER")


def _write_report(report: Path, output: Path) -> None:
    from pipeline.cli.terminal import say

    try:
        shutil.copytree(report, output, dirs_exist_ok=True)
    except OSError as error:
        raise InvalidRequest(f"Cannot write into {output}: {in_words(error)}") from error
    say(f"The report: {output / 'docs' / 'index.html'}")
