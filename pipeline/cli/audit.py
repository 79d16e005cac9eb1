"""`bulkhead audit`: check what is loaded in the warehouse of the settings, without a server. Nothing is written."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.app import AsJson, Exit, app, dataset_names, in_words
from pipeline.display import counted
from pipeline.errors import InvalidRequest, Unreachable

if TYPE_CHECKING:
    from pipeline.datasets.dataset import Dataset
    from pipeline.settings import Settings

ON_SCREEN_ROWS = 50


@app.command(rich_help_panel="Records")
def audit(
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help="The dataset's name.", autocompletion=dataset_names)],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the whole report into this folder.", file_okay=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check everything that is loaded by the dataset's rules, without a server; exit code 3 if there are errors.

    Rules that were added or changed after a load, and records that other clients wrote, are checked like those of a file.
    The findings have the same codes and files as those of an import. Nothing is written to the warehouse.

    Example: `bulkhead audit places --output audit/`
    """
    from pipeline.cli.terminal import print_json, working
    from pipeline.datasets.dataset import load_dataset
    from pipeline.sandbox import audit_table
    from pipeline.settings import load_settings

    settings = load_settings()
    rules = load_dataset(dataset, settings.datasets_root)
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


def _audit(folder: Path, rules: Dataset, settings: Settings) -> None:
    """Export the table into the folder and write its report there. Raises Unreachable if there is no such table to be read."""
    from pipeline.adapters import postgres
    from pipeline.sandbox import audit_table, process
    from pipeline.warehouse import existing_edges
    from pipeline.warehouse.table_export import export_table

    if not settings.database_url:
        raise Unreachable("An audit reads the warehouse: set DATABASE_URL.")
    process.start()  # it loads its modules during the export
    engine = postgres.connect(settings.database_url, pool_size=1, name="bulkhead audit")
    try:
        if not existing_edges.has_table(engine, rules):
            raise Unreachable(f"The warehouse does not answer, or has no table of {rules.name}: run bulkhead migrate.")
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


def _print(summary: dict[str, Any], groups: list[dict[str, Any]]) -> None:
    from pipeline.cli.terminal import groups_view, out, rows_table, say

    if groups:
        out().print(groups_view(groups[:ON_SCREEN_ROWS]))
        shown = ("code", "severity", "findings", "records")
        rows = [[*(one[name] for name in shown), f"{one['percent']:g} %"] for one in summary["codes"]]
        out().print(rows_table([*shown, "share"], rows))
    counts = ", ".join(counted(summary[f"{thing}s"], thing) for thing in ("record", "error", "warning"))
    met = sum(one["met"] for one in summary["rules"])
    say(f"{summary['dataset']}: {counts}; {met:,} of {counted(len(summary['rules']), 'rule')} met.")
    if summary["invalid"]:
        of_all = f"{summary['invalid_percent']:g} % of the records"
        say(f"{counted(summary['invalid'], 'record')} with errors, {of_all}. All findings: --json, or --output FOLDER")


def _write_report(report: Path, output: Path) -> None:
    from pipeline.cli.terminal import say

    try:
        shutil.copytree(report, output, dirs_exist_ok=True)
    except OSError as error:
        raise InvalidRequest(f"Cannot write into {output}: {in_words(error)}") from error
    say(f"The report: {output / 'docs' / 'index.html'}")
