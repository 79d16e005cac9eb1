"""What a definition would refuse in one file, by column and choice: counted by the steps that an import takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import duckdb

from pipeline.datasets.dataset import Dataset
from pipeline.datasets.definition import ColumnRules, Definition
from pipeline.display import counted, listed, place_of_record
from pipeline.read import Limits, read
from pipeline.sqlfiles import literal, quoted
from pipeline.staging.cast import stage
from pipeline.staging.database import StagingDatabase

ROWS = 10
_VALUE_CHARACTERS = 60
_OF_TYPE = ("invalid_type", "value_too_long", "malformed_row")


@dataclass(frozen=True)
class Refused:
    """The records that one choice would refuse, the first of them, and their values."""

    records: int
    rows: tuple[int, ...]
    values: tuple[str, ...]
    sentence: str


def refusals(
    source: Path, dataset: Dataset, definition: Definition, filename: str, limits: Limits, memory_bytes: int
) -> tuple[dict[str, dict[str, Refused]], int]:
    """Return what each choice would refuse, by column and choice, and how many records the whole definition would.

    Raises Unreadable if the file cannot be read by the definition at all.
    """
    with StagingDatabase.in_memory(source.parent, memory_bytes) as database, database.connect() as connection:
        reading = asdict(read(source, dataset, connection=connection, filename=filename, limits=limits))
        stage(connection, dataset)
        connection.execute("create temp table refused (name varchar, choice varchar, row bigint, value varchar, warns boolean)")
        connection.execute(
            f"""insert into refused select "column", 'type', row, left(value, {_VALUE_CHARACTERS}), false from findings
            where severity = 'error' and code in {_OF_TYPE} and "column" is not null and row is not null"""
        )
        for column in definition.columns:
            _apply(connection, column, definition)
        row: Any = connection.execute("select count(distinct row) from refused where not warns").fetchone()
        return _grouped(connection, reading), int(row[0])


def _apply(connection: duckdb.DuckDBPyConnection, column: ColumnRules, definition: Definition) -> None:
    """Add what the rules of one column refuse."""
    value = quoted(column.name)
    is_key = column.name == definition.key
    missing = f"""{value} is null and _row not in (select row from findings
        where "column" = {literal(column.name)} and code in {_OF_TYPE} and row is not null)"""
    repeated = f"{value} in (select {value} from incoming where {value} is not null group by 1 having count(*) > 1)"
    rules: dict[str, str] = {}
    if is_key:
        rules["key"] = f"({missing}) or {repeated}"
    elif column.required:
        rules["required"] = missing
    if column.unique and not is_key:
        rules["unique"] = repeated
    if column.values:
        rules["values"] = f"{value} is not null and {value} not in ({', '.join(map(literal, column.values))})"
    if column.max_length:
        rules["max_length"] = f"length({value}) > {column.max_length}"
    if column.name == definition.parent:
        ids = f"select {quoted(definition.key)} from incoming where {quoted(definition.key)} is not null"
        rules["parent"] = f"{value} is not null and {value} not in ({ids})"
    for choice, condition in rules.items():
        warns = "true" if choice in column.warn else "false"
        connection.execute(
            f"""insert into refused select $name, $choice, _row, left({value}::varchar, {_VALUE_CHARACTERS}), {warns}
            from incoming where {condition}""",
            {"name": column.name, "choice": choice},
        )


def _grouped(connection: duckdb.DuckDBPyConnection, reading: Mapping[str, Any]) -> dict[str, dict[str, Refused]]:
    found: dict[str, dict[str, Refused]] = {}
    rows = connection.execute(
        f"""select name, choice, count(distinct row), bool_or(warns),
            list_slice(list(distinct row order by row), 1, {ROWS}), list_slice(list(value order by row), 1, {ROWS})
        from refused group by name, choice"""
    ).fetchall()
    for name, choice, records, warns, first, values in rows:
        places = [place_of_record(row, reading) for row in first]
        does = "warn of" if warns else "refuse"
        sentence = f"would {does} {counted(records, 'record')}: {listed(places, count=records)}"
        told = tuple("" if value is None else str(value) for value in values)
        found.setdefault(name, {})[choice] = Refused(records, tuple(first), told, sentence)
    return found
