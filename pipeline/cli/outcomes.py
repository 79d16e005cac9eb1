"""Commands that fetch what came of imports: findings, reports, failed records, and the records in the warehouse."""

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
"""As many findings as a screen is good for; the files hold all of them."""

Form = TypeVar("Form", bound=StrEnum)
Output = Annotated[Path | None, typer.Option("--output", "-o", help="Write to this file instead of stdout.")]


class ResultsFormat(StrEnum):
    """How rows of a file are printed: exactly, in the format that was uploaded, in Parquet or Arrow; or for people."""

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
    """How the rows of a query are printed."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"
    ARROW = "arrow"


class ExportFormat(StrEnum):
    """How the records of a dataset are printed."""

    CSV = "csv"
    NDJSON = "ndjson"
    JSON = "json"
    PARQUET = "parquet"
    ARROW = "arrow"


@app.command(rich_help_panel="Imports")
def errors(
    import_id: ImportId,
    form: Annotated[
        TableFormat, typer.Option("--format", help="The files hold every finding; xlsx has the file's own rows, marked.")
    ] = TableFormat.TABLE,
    code: Annotated[str | None, typer.Option(help="Only findings of this code, such as missing_parent.")] = None,
    output: Output = None,
    as_json: AsJson = False,
) -> None:
    """Print what validation found wrong, in groups that say the same.

    Examples: `bulkhead errors 01990b3c-... --format csv > findings.csv`, or `--format xlsx -o findings.xlsx`
    """
    form = _form(form, TableFormat.TABLE, as_json)
    server = client()
    _check_screen(form, output)
    if form is TableFormat.XLSX and code is not None:
        raise typer.BadParameter("the workbook holds every code; filter in its sheet Findings", param_hint="--code")
    if form is not TableFormat.TABLE:
        with server.errors_file(import_id, form, code=code) as file:
            deliver(file, output)
        return
    if output is not None:
        raise typer.BadParameter("a table is for the screen; add --format csv, json, parquet or xlsx", param_hint="--output")
    _show_findings(server, import_id, code)


def _show_findings(server: Client, import_id: str, code: str | None) -> None:
    from pipeline.cli.terminal import groups_view, out, say

    found = server.error_groups(import_id, code=code)
    groups = found["items"][:ON_SCREEN_ROWS]
    total = sum(group["count"] for group in found["items"]) if code else found["total"]
    if not groups:  # none, or none frequent enough to be in a group that is kept
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
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Download it into this folder.")] = None,
    as_json: AsJson = False,
) -> None:
    """Print the address of an import's validation report, or download it with all findings.

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
    """The report's pages, with their links leading to the server, and all findings in every format."""
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
        ResultsFormat, typer.Option("--format", help="How to print them; native is the format that was uploaded.")
    ] = ResultsFormat.NATIVE,
    output: Output = None,
    as_json: AsJson = False,
) -> None:
    """Print the rows of a file that failed, each with the reason; or those that were loaded, or that were not processed.

    All columns of the file, in their order, and then row, code and reason. Mend what failed, and hand it to `retry`. Exit 3
    if the whole file was rejected, so that no record was processed.

    Example: `bulkhead results 01990b3c-... --output failed.csv`
    """
    form = _form(form, ResultsFormat.NATIVE, as_json)
    _check_screen(form, output)
    server = client()
    shown = server.get(import_id)
    if shown["state"] == State.REJECTED and kind is not RowsOf.UNPROCESSED:
        _tell_rejected(shown)
        raise typer.Exit(Exit.REJECTED)
    with server.results(import_id, kind, file_format=form) as file:
        _check_text(file, output)
        deliver(file, output)
    _tell_none(shown, kind)


def _tell_rejected(shown: ImportJson) -> None:
    from pipeline.cli.terminal import say

    say(f"No record was processed: import {shown['id']} was rejected as a whole.", "red")
    say(f"See what is wrong: bulkhead errors {shown['id']}")
    say(f"The records of the file: bulkhead results {shown['id']} --kind {RowsOf.UNPROCESSED}")


def _tell_none(shown: ImportJson, kind: RowsOf) -> None:
    """If the file has a header and nothing else, it is not for a mistake."""
    from pipeline.cli.terminal import say

    counts = shown["counts"]
    written = sum(counts.get(name) or 0 for name in ("inserted", "updated", "unchanged"))
    there = {RowsOf.SUCCEEDED: written, RowsOf.FAILED: counts.get("failed"), RowsOf.UNPROCESSED: counts.get("unprocessed")}
    if there[kind] == 0:
        say(
            f"No record of import {shown['id']} {'is' if kind is RowsOf.UNPROCESSED else 'has'} {kind}; it is {shown['state']}."
        )


def _check_text(file: Download, output: Path | None) -> None:
    """Raises BadParameter rather than write a workbook to a terminal."""
    if output is None and sys.stdout.isatty() and not file.is_text:
        raise typer.BadParameter(
            "the uploaded file's format is not for the screen; add --output FILE, or choose --format csv", param_hint="--format"
        )


@app.command(rich_help_panel="Records")
def sql(
    query: Annotated[str, typer.Argument(metavar="SELECT", help="One SELECT over the schema warehouse.")],
    form: Annotated[RowsFormat, typer.Option("--format", help="How to print the rows.")] = RowsFormat.TABLE,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many rows.")] = None,
    output: Output = None,
    as_json: AsJson = False,
) -> None:
    """Ask the warehouse; a read-only role runs the query.

    Example: `bulkhead sql 'select name from warehouse.places where "parentId" is null' --format csv`
    """
    from pipeline.cli.terminal import say

    form = _form(form, RowsFormat.TABLE, as_json)
    server = client()
    _check_screen(form, output)
    if form in (RowsFormat.CSV, RowsFormat.PARQUET, RowsFormat.ARROW):
        with server.query_file(query, form, limit=limit) as file:
            deliver(file, output)
        if file.is_truncated:
            say("There are more rows than these: narrow the query down, or raise --limit.")
        return
    if form is RowsFormat.TABLE and output is not None:
        raise typer.BadParameter("a table is for the screen; choose another --format", param_hint="--output")
    _print_rows(server.query(query, limit=limit), form, output)


@app.command(rich_help_panel="Records")
def export(
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help="Its name.", autocompletion=dataset_names)],
    form: Annotated[ExportFormat, typer.Option("--format", help="How to print the records.")] = ExportFormat.CSV,
    children_of: Annotated[
        str | None, typer.Option("--children-of", metavar="ID", help="Only the children of this record.")
    ] = None,
    roots: Annotated[bool, typer.Option("--roots", help="Only the records without a parent.")] = False,
    output: Output = None,
    as_json: AsJson = False,
) -> None:
    """Print the records of a dataset, every one, with its columns as a file of it would have them.

    Example: `bulkhead export places --format parquet --output places.parquet`
    """
    if children_of is not None and roots:
        raise typer.BadParameter("exclude each other", param_hint="--children-of and --roots")
    form = _form(form, ExportFormat.CSV, as_json)
    _check_screen(form, output)
    with client().export(dataset, form, children_of=children_of, roots=roots) as file:
        deliver(file, output)


def _form(form: Form, default: Form, as_json: bool) -> Form:
    """The format that is asked for: --json is short for --format json."""
    if not as_json:
        return form
    json = type(form)("json")
    if form not in (default, json):
        raise typer.BadParameter(f"says something else than --format {form}", param_hint="--json")
    return json


def _check_screen(form: StrEnum, output: Path | None) -> None:
    if form in ("parquet", "arrow", "xlsx") and output is None and sys.stdout.isatty():
        raise typer.BadParameter(f"{form} is not for the screen; add --output FILE", param_hint="--format")


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
        say(f"There are more rows than {these}: narrow the query down, or raise --limit.")
