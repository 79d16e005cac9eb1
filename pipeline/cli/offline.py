"""`bulkhead validate`: check a file on this machine, read and validated exactly as in an import, without a server.

If the warehouse of the settings can be reached, parents are also looked up there, and what an import would change is computed.
Nothing is written.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.app import (
    AsJson,
    Exit,
    Filename,
    InputFile,
    MaxErrorRatio,
    MaxErrors,
    OnErrorOption,
    app,
    dataset_names,
    deliver,
    in_words,
)
from pipeline.cli.reading_options import reads_a_file
from pipeline.contracts.options import Options, ReadOptions
from pipeline.display import counted
from pipeline.errors import InvalidRequest

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from pipeline.datasets.dataset import Dataset
    from pipeline.report.findings import Counted
    from pipeline.sandbox.fork_server import ForkServer
    from pipeline.settings import Settings

ON_SCREEN_ROWS = 50


class TemplateForm(StrEnum):
    """The formats of a template."""

    CSV = "csv"
    XLSX = "xlsx"


@app.command(rich_help_panel="Imports")
@reads_a_file
def validate(
    file: InputFile,
    dataset: Annotated[
        str, typer.Option("--dataset", "-d", help="The dataset whose rules apply.", autocompletion=dataset_names)
    ] = "records",
    filename: Filename = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the whole report into this folder.", file_okay=False)
    ] = None,
    on_error: OnErrorOption = None,
    max_errors: MaxErrors = None,
    max_error_ratio: MaxErrorRatio = None,
    as_json: AsJson = False,
    *,
    reading: ReadOptions,
) -> None:
    """Check a file by its dataset's rules without a server; exit code 3 if an import would be rejected.

    If the warehouse can be reached, parents are also looked up there, and what an import would change is reported. Nothing is
    written. The first call takes seconds; the next ones use what it has loaded, for BULKHEAD_WARM_SECONDS.

    Example: `bulkhead validate places.csv -d places`
    """
    from pipeline.cli.datasets_root import current_root
    from pipeline.cli.terminal import print_json, working
    from pipeline.datasets.dataset import load_dataset
    from pipeline.settings import load_settings

    settings = load_settings()
    rules = load_dataset(dataset, current_root(settings))
    options = Options(True, on_error, max_errors, max_error_ratio, **vars(reading))
    rules.check_mapping(options.mapping)
    rules.check_options(options)
    with tempfile.TemporaryDirectory(prefix="bulkhead-") as scratch:
        folder = Path(scratch)
        name = place_file(file, folder, filename)
        with working(f"Checking {name} ..."), _warehouse(settings, rules) as engine:
            verdict = _validate(folder, rules, name, options, settings, engine)
        groups = json.loads((folder / "report" / "groups.json").read_bytes())["items"]
        if output is not None:
            _write_report(folder / "report", output)
    if as_json:
        print_json(verdict)
    else:
        _print_verdict(verdict, groups, name, output)
    if engine is None:
        _say("No warehouse can be reached: the file was checked against an empty warehouse, with parents in this file only.")
    raise typer.Exit(Exit.OK if verdict["accepted"] else Exit.REJECTED)


@app.command(rich_help_panel="Imports")
def template(
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help="The dataset's name.")],
    form: Annotated[TemplateForm, typer.Option("--format", help="Text, or an Excel workbook.")] = TemplateForm.CSV,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write to this file.", dir_okay=False)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the columns as one JSON document instead.")] = False,
) -> None:
    """Print a template: a file with the dataset's columns and one example row.

    Example: `bulkhead template places > places.csv`
    """
    from pipeline.cli.datasets_root import current_root
    from pipeline.cli.terminal import as_json as spelled
    from pipeline.datasets.dataset import load_dataset
    from pipeline.datasets.template import FORMS
    from pipeline.settings import load_settings

    rules = load_dataset(dataset, current_root(load_settings()))
    columns = [{"name": one.name, "type": one.type, "required": not one.may_be_absent} for one in rules.columns]
    deliver([spelled({"dataset": rules.name, "columns": columns}).encode() if as_json else FORMS[form](rules)], output)


@contextmanager
def _warehouse(settings: Settings, rules: Dataset) -> Iterator[Engine | None]:
    """Connect to the warehouse of the settings for the block; None if it does not answer or has no table of the dataset."""
    from pipeline.adapters import postgres
    from pipeline.adapters.postgres_access import to_database
    from pipeline.warehouse import existing_edges

    if not settings.database_url:
        yield None
        return
    engine = postgres.connect(to_database(settings), pool_size=1, name="bulkhead validate")
    try:
        yield engine if existing_edges.has_table(engine, rules) else None
    finally:
        engine.dispose()


def place_file(file: Path, folder: Path, filename: str | None) -> str:
    """Put the file into the folder of the validation, and return its name, whose extension tells the format."""
    from pipeline.sandbox.validate_file import SOURCE

    try:
        if file.is_file():
            (folder / SOURCE).symlink_to(file.absolute())
            return filename or file.name
        with (folder / SOURCE).open("wb") as copy:
            if str(file) == "-":
                shutil.copyfileobj(sys.stdin.buffer, copy)
            else:
                with file.open("rb") as stream:
                    shutil.copyfileobj(stream, copy)
    except OSError as error:
        raise InvalidRequest(f"Cannot read {file}: {error.strerror}.") from error
    return filename or ("stdin.csv" if str(file) == "-" else file.name)


def _validate(
    folder: Path, rules: Dataset, name: str, options: Options, settings: Settings, engine: Engine | None
) -> dict[str, Any]:
    """Validate the file in a sandbox as an import would, and return the verdict as JSON."""
    from pipeline.prepare.manifest import BatchSizes
    from pipeline.sandbox import process, validate_file
    from pipeline.warehouse import existing_edges

    def edges(wanted: Path) -> Path | None:
        if engine is None:
            return None
        answered = wanted.with_name(validate_file.EDGES)
        existing_edges.edges(engine, rules, wanted, answered, beat=lambda: None)
        return answered

    found = process.run(
        validate_file.validate,
        folder,
        rules,
        name,
        "offline",
        BatchSizes("offline", settings.batch_records, settings.batches_per_part) if engine is not None else None,
        options,
        memory_bytes=settings.validation_memory_bytes,
        seconds=settings.validation_seconds,
        answer=lambda _: edges(folder / validate_file.WANTED),  # the question is always in the same file
        server=_server(settings.warm_seconds),
    )
    changes = _preview_changes(folder, rules, engine) if engine is not None and found.verdict().accepted else None
    return _verdict(folder, rules, name, found, changes)


def _server(warm_seconds: float) -> ForkServer:
    """Return a server that waits for the next command so long; where there can be none, one that ends with this process."""
    from pipeline.sandbox import process
    from pipeline.sandbox.warm_server import WarmServer, socket_folder

    folder = socket_folder() if warm_seconds else None
    return WarmServer(folder, warm_seconds, *process.VALIDATION_MODULES) if folder else process.VALIDATION


def _preview_changes(folder: Path, rules: Dataset, engine: Engine) -> dict[str, int]:
    """Return how many records an import would insert, update and leave unchanged."""
    from pipeline.load import dry_run
    from pipeline.prepare.manifest import MANIFEST, Manifest
    from pipeline.sandbox import validate_file

    parts = folder / validate_file.PARTS
    manifest = Manifest.from_json((parts / MANIFEST).read_text(encoding="utf-8"))
    with engine.connect() as connection:
        raw: Any = connection.connection.driver_connection
        return dry_run.preview(raw, rules, [(parts / part.filename, part.sha256) for part in manifest.parts]).to_json()


def _verdict(folder: Path, rules: Dataset, name: str, found: Counted, changes: dict[str, int] | None) -> dict[str, Any]:
    return {
        "file": name,
        "dataset": rules.name,
        "accepted": found.verdict().accepted,
        "reason": found.refusal,
        "records": found.records,
        "errors": found.errors,
        "warnings": found.warnings,
        "quarantined": found.quarantined,
        "preview": changes,
        "by_code": found.by_code,
        "findings": json.loads((folder / "report" / "findings.json").read_bytes()),
    }


def _write_report(report: Path, output: Path) -> None:
    try:
        shutil.copytree(report, output, dirs_exist_ok=True)
    except OSError as error:
        raise InvalidRequest(f"Cannot write into {output}: {in_words(error)}") from error


def _print_verdict(verdict: dict[str, Any], groups: list[dict[str, Any]], name: str, output: Path | None) -> None:
    from pipeline.cli.terminal import groups_view, out, preview_line

    if groups:
        out().print(groups_view(groups[:ON_SCREEN_ROWS]))
    if len(verdict["findings"]) > sum(len(group["first"]) for group in groups[:ON_SCREEN_ROWS]):
        _say(f"{counted(len(verdict['findings']), 'finding')}; all of them: --json, or --output FOLDER")
    counts = ", ".join(counted(verdict[f"{thing}s"], thing) for thing in ("record", "error", "warning"))
    _say(f"{name}: {counts}. " + ("It would be accepted." if verdict["accepted"] else "It would be rejected."))
    if verdict["reason"]:
        _say(verdict["reason"])
    if verdict["quarantined"]:
        _say(f"{counted(verdict['quarantined'], 'record')} would go into quarantine.")
    if verdict["preview"]:
        _say(f"A load would {preview_line(verdict['preview'])}.")
    if output is not None:
        _say(f"The report: {output / 'docs' / 'index.html'}")


def _say(text: str) -> None:
    from pipeline.cli.terminal import say

    say(text)
