"""Write the files of results: the rows that were loaded, that failed, and that were not processed.

Each has all columns of the file, with their names, in their order, and then the row's number, a code and a reason. There are
two kinds of files: for people, with cells that no spreadsheet reads as a formula; and exact ones, in the uploaded format and in
Parquet, which can be uploaded again and are read exactly as the file was. Runs in the sandbox, since the file is read once
more; the worker provides the outcome of each row.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import xlsxwriter

from pipeline.contracts.masking import UNMASKED
from pipeline.contracts.object_keys import RowOutcome, added_names, native_format, results_file
from pipeline.contracts.options import DELIMITERS, ReadOptions
from pipeline.datasets.dataset import Dataset
from pipeline.read import read
from pipeline.report.findings import safe_expression
from pipeline.report.masked_tables import masked_tables
from pipeline.sqlfiles import literal, quoted
from pipeline.staging.cast import original_names
from pipeline.staging.database import StagingDatabase, in_enough_memory, number

SOURCE = "source"
FATES = "fates.parquet"
"""Written by the worker: (row, fate, code, reason), for each row that does not have the default outcome."""

RESULTS = "results"
CELL_UNITS = 32_767
"""How many units of UTF-16 a cell of a workbook can hold."""

_FETCH_ROWS = 10_000


@dataclass(frozen=True)
class DefaultOutcome:
    """The outcome of the rows that are not in FATES."""

    fate: RowOutcome
    code: str | None = None
    reason: str | None = None


def write_results(
    folder: Path, dataset: Dataset, options: ReadOptions, default: DefaultOutcome, wanted: Mapping[RowOutcome, Sequence[str]]
) -> dict[RowOutcome, int]:
    """Read ``source`` and ``fates.parquet`` in ``folder``; write ``results/``, a file for each outcome and form in ``wanted``.

    Of a dataset with personal data their values are masked there; the clear files are in ``results/unmasked/``.

    Return the number of rows of every outcome. Raises RejectedFile if the file cannot be read (any more).
    """
    return in_enough_memory(folder, partial(_write_results, folder, dataset, options, default, wanted))


def _write_results(
    folder: Path,
    dataset: Dataset,
    options: ReadOptions,
    default: DefaultOutcome,
    wanted: Mapping[RowOutcome, Sequence[str]],
    database: StagingDatabase,
) -> dict[RowOutcome, int]:
    shutil.rmtree(folder / RESULTS, ignore_errors=True)
    (folder / RESULTS / (UNMASKED if dataset.personal else "")).mkdir(parents=True)
    with database.connect() as connection:
        reading = read(folder / SOURCE, dataset, connection=connection, options=options)
        facts: dict[str, Any] = {"format": reading.format, "delimiter": reading.delimiter}
        names = original_names(connection)
        members = ", ".join(f"{quoted(original)} := raw.{quoted(name)}" for name, original in names.items())
        as_text = f"to_json(struct_pack({members}))::varchar"
        connection.execute(_FATED.format(fates=literal(str(folder / FATES)), curtailed=as_text), vars(default))
        clear = folder / RESULTS / UNMASKED if dataset.personal else folder / RESULTS
        _write_each(connection, wanted, facts, clear)
        if dataset.personal:
            with masked_tables(connection, dataset):
                _write_each(connection, wanted, facts, folder / RESULTS)
        counted = connection.execute("select fate, count(*) from fated group by fate").fetchall()
    return {RowOutcome(fate): int(rows) for fate, rows in counted}


def _write_each(
    connection: duckdb.DuckDBPyConnection, wanted: Mapping[RowOutcome, Sequence[str]], facts: Mapping[str, Any], folder: Path
) -> None:
    names = original_names(connection)
    for fate, forms in wanted.items():
        for form in forms:
            _write(connection, names, fate, form, facts, folder)


_FATED = """
create or replace table fated as
with rows as (
    select raw._row, if(curtailed._row is null, null, {curtailed}) as text
    from raw left join curtailed on raw._row = curtailed._row
    union all
    select _row, text from malformed
),

said as (select row, any_value(fate) as fate, any_value(code) as code, any_value(reason) as reason from {fates} group by row)

select rows._row, rows.text, coalesce(said.fate, $fate) as fate,
    coalesce(said.code, $code) as code, coalesce(said.reason, $reason) as reason
from rows left join said on rows._row = said.row
"""


def _write(
    connection: duckdb.DuckDBPyConnection,
    names: dict[str, str],
    fate: RowOutcome,
    form: str,
    facts: Mapping[str, Any],
    folder: Path,
) -> None:
    """Write one file: ``csv``, ``json`` or ``parquet``, or ``native``, the uploaded file's own format."""
    to, kind = folder / results_file(fate, form, facts), native_format(facts) if form == "native" else form
    if kind == "xlsx":
        _write_workbook(connection, _rows_of_workbook(connection, names, fate, results_file(fate, "parquet", facts)), to)
        return
    query = _rows(connection, names, fate, safe=form == "csv")
    delimiter = facts["delimiter"] if form == "native" and facts["delimiter"] in DELIMITERS else ","
    options = {
        "csv": f"format csv, header true, delimiter {literal(delimiter)}",
        "json": "format json, array true",
        "ndjson": "format json, array false",
        "parquet": "format parquet, compression zstd",
    }[kind]
    number(connection, f"copy ({query}) to {literal(str(to))} ({options})")


def _rows(
    connection: duckdb.DuckDBPyConnection, names: dict[str, str], fate: RowOutcome, *, safe: bool, fated: str = "fated"
) -> str:
    """Return the query for the rows of an outcome, in the file's order.

    A row that is not a record, or that was not kept whole (a key that appears twice, a broken cell), has its text in one more
    column and nothing in the others: it fails again until they are filled. That column exists only if there are such rows.
    """
    row, code, reason, text = added_names(list(names.values()))
    cell = safe_expression if safe else lambda value, name: f"{value} as {quoted(name)}"
    cells = [cell(f"raw.{quoted(name)}", original) for name, original in names.items()]
    cells += [f"fated._row as {quoted(row)}", cell("fated.code", code), cell("fated.reason", reason)]
    there = f"from {fated} where fate = {literal(fate)} and text is not null"
    if number(connection, f"select count(*) {there}"):
        cells.append(cell("fated.text", text))
    return f"""select {", ".join(cells)} from {fated} as fated left join raw on fated._row = raw._row
            and fated.text is null
        where fated.fate = {literal(fate)} order by fated._row"""


def _rows_of_workbook(connection: duckdb.DuckDBPyConnection, names: dict[str, str], fate: RowOutcome, whole: str) -> str:
    """Return the same for a workbook: for a row with a cell that is too long, the text names the file with the whole row.

    As with any row that was not kept whole, a retry loads nothing of it until its cells are filled.
    """
    longest = f"greatest(0, {', '.join(_units(f'raw.{quoted(name)}') for name in names)})"
    said = f"A cell of this row has more than {CELL_UNITS:,} characters, which a workbook cannot hold. The row is in {whole}."
    connection.execute(
        f"""create or replace temp table fated_here as
        select fated.* exclude (text), case
            when fated.text is null and {longest} > {CELL_UNITS} then $said
            when {_units("fated.text")} > {CELL_UNITS} then $said
            else fated.text
        end as text
        from fated left join raw on fated._row = raw._row where fated.fate = $fate""",
        {"said": said, "fate": str(fate)},
    )
    return _rows(connection, names, fate, safe=False, fated="fated_here")


def _units(text: str) -> str:
    """Return SQL for the units of UTF-16 in a text: two for each character after the first 65,536."""
    beyond = f"length(regexp_replace({text}, '[^\\x{{10000}}-\\x{{10FFFF}}]', '', 'g'))"
    return f"case when strlen({text}) > {CELL_UNITS} then length({text}) + {beyond} else 0 end"


def _write_workbook(connection: duckdb.DuckDBPyConnection, query: str, to: Path) -> None:
    """Write one sheet; every cell but the row's number is text, so that Excel changes none."""
    with xlsxwriter.Workbook(to, {"constant_memory": True, "strings_to_urls": False}) as book:
        sheet = book.add_worksheet("Records")
        found = connection.execute(query)
        for column, (name, *_) in enumerate(found.description or ()):
            sheet.write_string(0, column, name)
        line = 0
        while some := found.fetchmany(_FETCH_ROWS):
            for cells in some:
                line += 1
                for column, value in enumerate(cells):
                    refused = 0
                    if isinstance(value, str):
                        refused = sheet.write_string(line, column, value)
                    elif value is not None:
                        refused = sheet.write_number(line, column, value)
                    if refused:
                        raise RuntimeError(f"The workbook does not take row {line}, column {column} ({refused}).")
