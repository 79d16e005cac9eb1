"""Commands that download results: findings, reports, failed records, and the records in the warehouse."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from pipeline.cli.app import AsJson, Exit, ImportId, TableFormat, app, client, dataset_names, deliver, in_words
from pipeline.contracts.states import State
from pipeline.display import counted
from pipeline.errors import InvalidRequest

if TYPE_CHECKING:
    from pipeline.client.api import Client, ImportJson
    from pipeline.client.http import Download

ON_SCREEN_ROWS = 50
"""The maximum number of findings on the screen; the files contain all of them."""

Form = TypeVar("Form", bound=StrEnum)
Output = Annotated[Path | None, typer.Option("--output", "-o", help="Write to this file instead of stdout.")]


class ResultsFormat(StrEnum):
    """The formats of the rows of a file; native is the format that was uploaded."""

    NATIVE = "native"
    PARQUET = "parquet"
    ARROW = "arrow"
    CSV = "csv"
    JSON = "json"


class RowsOf(StrEnum):
    """Which rows of a file."""

    FAILED = "failed"
    UNPROCESSED = "unprocessed"
    SUCCEEDED = "succeeded"


class RowsFormat(StrEnum):
    """The formats of the rows of a query."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"
    ARROW = "arrow"
    XLSX = "xlsx"


class ExportFormat(StrEnum):
    """The formats of the records of a dataset."""

    CSV = "csv"
    NDJSON = "ndjson"
    JSON = "json"
    PARQUET = "parquet"
    ARROW = "arrow"


@app.command(rich_help_panel="Imports")
def errors(
    import_id: ImportId,
    form: Annotated[
        TableFormat,
        typer.Option(
            "--format",
            help="The files contain all findings; xlsx contains the rows of the uploaded file, with the errors marked.",
        ),
    ] = TableFormat.TABLE,
    code: Annotated[str | None, typer.Option(help="Only findings of this code, such as missing_parent.")] = None,
    output: Output = None,
    as_json: AsJson = False,
) -> None:
    """Print what validation found wrong, equal findings grouped.

    Examples: `bulkhead errors 01990b3c-... --format csv > findings.csv`, or `--format xlsx -o findings.xlsx`
    """
    form = _form(form, TableFormat.TABLE, as_json)
    server = client()
    _check_screen(form, output)
    if form is TableFormat.XLSX and code is not None:
        raise typer.BadParameter("the workbook contains all codes; filter in its sheet Findings", param_hint="--code")
    if form is not TableFormat.TABLE:
        with server.errors_file(import_id, form, code=code) as file:
            deliver(file, output)
        return
    if output is not None:
        raise typer.BadParameter(
            "a table cannot be written to a file; add --format csv, json, parquet or xlsx", param_hint="--output"
        )
    _show_findings(server, import_id, code)


def _show_findings(server: Client, import_id: str, code: str | None) -> None:
    from pipeline.cli.terminal import groups_view, out, say

    found = server.error_groups(import_id, code=code)
    groups = found["items"][:ON_SCREEN_ROWS]
    total = sum(group["count"] for group in found["items"]) if code else found["total"]
    if not groups:  # no findings, or none in the largest groups, which are all that is stored
        _list_findings(server, import_id, code)
        return
    out().print(groups_view(groups))
    if total > sum(len(group["first"]) for group in groups):
        say(f"{counted(total, 'finding')}. All of them: bulkhead errors {import_id} --format csv (or xlsx, json, parquet)")


def _list_findings(server: Client, import_id: str, code: str | None) -> None:
    from pipeline.cli.terminal import findings_view, out, say

    first = next(server.error_pages(import_id, code=code))
    items = first["items"][:ON_SCREEN_ROWS]
    if not items:
        say("No findings.")
        return
    out().print(findings_view(items))
    if first["total"] > len(items):
        say(f"{len(items):,} of {counted(first['total'], 'finding')}. All of them: bulkhead errors {import_id} --format csv")


@app.command(rich_help_panel="Imports")
def report(
    import_id: ImportId,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Download the report into this folder.")] = None,
    as_json: AsJson = False,
) -> None:
    """Print the URL of an import's validation report, or download it with all findings.

    Example: `bulkhead report 01990b3c-... --output report/`
    """
    from pipeline.cli.terminal import print_json, print_line, say

    server = client()
    if output is None:
        where = str(server.get(import_id)["links"]["report"])
    else:
        try:
            _download_report(server, import_id, output)
        except OSError as error:
            raise InvalidRequest(f"Cannot write into {output}: {in_words(error)}") from error
        say(f"Written to {output}.")
        where = str(output / "index.html")
    if as_json:
        print_json({"id": import_id, "report": where})
    else:
        print_line(where)


def _download_report(server: Client, import_id: str, output: Path) -> None:
    """Download the pages of the report, with absolute links to the server, and all findings in every format."""
    from pipeline.cli.terminal import write_file

    for name, content in server.report(import_id):
        write_file(output / name, [content.replace(b'href="/', f'href="{server.url}/'.encode())])
    for form in ("csv", "json", "parquet", "xlsx"):
        with server.errors_file(import_id, form) as file:
            write_file(output / f"findings.{form}", file)


@app.command(rich_help_panel="Imports")
def results(
    import_id: ImportId,
    kind: Annotated[RowsOf, typer.Option("--kind", help="Which rows.")] = RowsOf.FAILED,
    form: Annotated[
        ResultsFormat, typer.Option("--format", help="The format; native is the format of the uploaded file.")
    ] = ResultsFormat.NATIVE,
    output: Output = None,
    as_json: AsJson = False,
) -> None:
    """Print the failed rows of a file with the reasons, or the rows that succeeded or were not processed.

    The columns of the file are followed by row, code and reason. Correct the failed rows and import them with `retry`. Exit
    code 3 if the whole file was rejected, so that no record was processed.

    Example: `bulkhead results 01990b3c-... --output failed.csv`
    """
    form = _form(form, ResultsFormat.NATIVE, as_json)
    _check_screen(form, output)
    server = client()
    shown = server.get(import_id)
    if shown["state"] == State.REJECTED and kind is not RowsOf.UNPROCESSED:
        _report_rejection(shown)
        raise typer.Exit(Exit.REJECTED)
    with server.results(import_id, kind, file_format=form) as file:
        _check_text(file, output)
        deliver(file, output)
    _report_none(shown, kind)


def _report_rejection(shown: ImportJson) -> None:
    from pipeline.cli.terminal import say

    say(f"No record was processed: import {shown['id']} was rejected as a whole.", "red")
    say(f"List the errors: bulkhead errors {shown['id']}")
    say(f"The records of the file: bulkhead results {shown['id']} --kind {RowsOf.UNPROCESSED}")


def _report_none(shown: ImportJson, kind: RowsOf) -> None:
    """Explain a file without rows: there are no such records."""
    from pipeline.cli.terminal import say

    counts = shown["counts"]
    written = sum(counts.get(name) or 0 for name in ("inserted", "updated", "unchanged"))
    there = {RowsOf.SUCCEEDED: written, RowsOf.FAILED: counts.get("failed"), RowsOf.UNPROCESSED: counts.get("unprocessed")}
    if there[kind] == 0:
        say(
            f"No record of import {shown['id']} {'is' if kind is RowsOf.UNPROCESSED else 'has'} {kind}; it is {shown['state']}."
        )


def _check_text(file: Download, output: Path | None) -> None:
    """Raise BadParameter if a binary file would be written to a terminal."""
    if output is None and sys.stdout.isatty() and not file.is_text:
        raise typer.BadParameter(
            "the format of the uploaded file is binary; add --output FILE, or choose --format csv", param_hint="--format"
        )


@app.command(rich_help_panel="Records")
def sql(
    query: Annotated[str, typer.Argument(metavar="SELECT", help="One SELECT over the schema warehouse.")],
    form: Annotated[RowsFormat, typer.Option("--format", help="The format of the rows.")] = RowsFormat.TABLE,
    limit: Annotated[int | None, typer.Option(min=1, help="The maximum number of rows.")] = None,
    output: Output = None,
    as_json: AsJson = False,
) -> None:
    """Query the warehouse with SQL; the query runs as a read-only role.

    Example: `bulkhead sql 'select name from warehouse.places where "parentId" is null' --format csv`
    """
    from pipeline.cli.terminal import say

    form = _form(form, RowsFormat.TABLE, as_json)
    server = client()
    _check_screen(form, output)
    if form in (RowsFormat.CSV, RowsFormat.PARQUET, RowsFormat.ARROW, RowsFormat.XLSX):
        with server.query_file(query, form, limit=limit) as file:
            deliver(file, output)
        if file.is_truncated:
            say("There are more rows than these. Narrow the query, or raise --limit.")
        return
    if form is RowsFormat.TABLE and output is not None:
        raise typer.BadParameter("a table cannot be written to a file; choose another --format", param_hint="--output")
    _print_rows(server.query(query, limit=limit), form, output)


@app.command(rich_help_panel="Records")
def export(
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help="The dataset's name.", autocompletion=dataset_names)],
    form: Annotated[ExportFormat, typer.Option("--format", help="The format of the records.")] = ExportFormat.CSV,
    children_of: Annotated[
        str | None, typer.Option("--children-of", metavar="ID", help="Only the children of this record.")
    ] = None,
    roots: Annotated[bool, typer.Option("--roots", help="Only the records without a parent.")] = False,
    output: Output = None,
    as_json: AsJson = False,
) -> None:
    """Print all records of a dataset, in the columns of an uploaded file.

    Example: `bulkhead export places --format parquet --output places.parquet`
    """
    if children_of is not None and roots:
        raise typer.BadParameter("cannot be used together", param_hint="--children-of and --roots")
    form = _form(form, ExportFormat.CSV, as_json)
    _check_screen(form, output)
    with client().export(dataset, form, children_of=children_of, roots=roots) as file:
        deliver(file, output)


def _form(form: Form, default: Form, as_json: bool) -> Form:
    """Return the requested format; --json is short for --format json. Raises BadParameter if the two differ."""
    if not as_json:
        return form
    json = type(form)("json")
    if form not in (default, json):
        raise typer.BadParameter(f"contradicts --format {form}", param_hint="--json")
    return json


def _check_screen(form: StrEnum, output: Path | None) -> None:
    if form in ("parquet", "arrow", "xlsx") and output is None and sys.stdout.isatty():
        raise typer.BadParameter(f"{form} is a binary format; add --output FILE", param_hint="--format")


def _print_rows(answer: dict[str, Any], form: RowsFormat, output: Path | None) -> None:
    from pipeline.cli.terminal import as_json, out, print_json, rows_table, say

    columns, rows = [column["name"] for column in answer["columns"]], answer["rows"]
    if form is RowsFormat.TABLE:
        out().print(rows_table(columns, rows))
    else:
        document = [dict(zip(columns, row, strict=True)) for row in rows]
        if output is None:
            print_json(document)
        else:
            deliver([as_json(document).encode()], output)
    if answer["truncated"]:
        these = "this one" if len(rows) == 1 else f"these {len(rows):,}"
        say(f"There are more rows than {these}. Narrow the query, or raise --limit.")
