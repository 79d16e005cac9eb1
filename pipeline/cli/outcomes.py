"""Commands that fetch what came of imports: findings, reports, failed records, and the records in the warehouse."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.app import ImportId, TableFormat, app, client, dataset_names, deliver
from pipeline.errors import NotUsable

if TYPE_CHECKING:
    from pipeline.client import Client

ON_SCREEN_ROWS = 50
"""As many findings as a screen is good for; the files hold all of them."""

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
) -> None:
    """Print what validation found wrong, in groups that say the same.

    Examples: `bulkhead errors 01990b3c-... --format csv > findings.csv`, or `--format xlsx -o findings.xlsx`
    """
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
    from pipeline.display import counted
    from pipeline.terminal import groups_view, out, say

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
    from pipeline.display import counted
    from pipeline.terminal import findings_view, out, say

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
) -> None:
    """Print the address of an import's validation report, or download it with all findings.

    Example: `bulkhead report 01990b3c-... --output report/`
    """
    from pipeline.terminal import print_line, say, write_file

    server = client()
    if output is None:
        print_line(server.get(import_id)["links"]["report"])
        return
    try:
        for name, content in server.report(import_id):
            write_file(output / name, [content.replace(b'href="/', f'href="{server.url}/'.encode())])
        for form in ("csv", "json", "parquet", "xlsx"):
            with server.errors_file(import_id, form) as file:
                write_file(output / f"findings.{form}", file)
    except OSError as error:
        raise NotUsable(f"Cannot write into {output}: {error.strerror}.") from error
    say(f"Written to {output}.")
    print_line(str(output / "index.html"))


@app.command(rich_help_panel="Imports")
def results(
    import_id: ImportId,
    kind: Annotated[RowsOf, typer.Option("--kind", help="Which rows.")] = RowsOf.FAILED,
    form: Annotated[
        ResultsFormat, typer.Option("--format", help="How to print them; native is the format that was uploaded.")
    ] = ResultsFormat.NATIVE,
    output: Output = None,
) -> None:
    """Print the rows of a file that failed, each with the reason; or those that were loaded, or to which nobody came.

    All columns of the file, in their order, and then row, code and reason. Mend what failed, and hand it to `retry`.

    Example: `bulkhead results 01990b3c-... --output failed.csv`
    """
    _check_screen(form, output)
    with client().results(import_id, kind, file_format=form) as file:
        deliver(file, output)


@app.command(rich_help_panel="Records")
def sql(
    query: Annotated[str, typer.Argument(metavar="SELECT", help="One SELECT over the schema warehouse.")],
    form: Annotated[RowsFormat, typer.Option("--format", help="How to print the rows.")] = RowsFormat.TABLE,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many rows.")] = None,
    output: Output = None,
) -> None:
    """Ask the warehouse; a read-only role runs the query.

    Example: `bulkhead sql 'select name from warehouse.places where "parentId" is null' --format csv`
    """
    from pipeline.terminal import say

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
) -> None:
    """Print the records of a dataset, every one, with its columns as a file of it would have them.

    Example: `bulkhead export places --format parquet --output places.parquet`
    """
    if children_of is not None and roots:
        raise typer.BadParameter("exclude each other", param_hint="--children-of and --roots")
    _check_screen(form, output)
    with client().export(dataset, form, children_of=children_of, roots=roots) as file:
        deliver(file, output)


def _check_screen(form: StrEnum, output: Path | None) -> None:
    if form in ("parquet", "arrow", "xlsx") and output is None and sys.stdout.isatty():
        raise typer.BadParameter(f"{form} is not for the screen; add --output FILE", param_hint="--format")


def _print_rows(answer: dict[str, Any], form: RowsFormat, output: Path | None) -> None:
    from pipeline.terminal import as_json, out, print_json, rows_table, say

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
        say(f"There are more rows than these {len(rows):,}: narrow the query down, or raise --limit.")
