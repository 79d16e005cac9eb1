"""Findings and failures -> the files that a user downloads: complete, in the order of the rows, safe in a spreadsheet."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from pipeline.datasets import Dataset
from pipeline.stage import connect

FIELDS = ("code", "severity", "message", "row", "line", "column", "value", "hint", "related", "cycle")
"""A finding's fields, as everywhere; the files add the record's id."""

_FORMULA = "regexp_matches({v}, '^[\\s\\x{{a0}}]*[=+\\-@＝＋－＠\\t\\r\\n]')"
_NUMBER = "regexp_full_match({v}, '[+-]?[0-9]+([.,][0-9]+)?')"


@dataclass(frozen=True)
class Counted:
    """How many findings there are. ``invalid`` is the number of rows that an error speaks of, or a circle leads through."""

    records: int
    errors: int
    warnings: int
    invalid: int
    by_code: dict[str, int] = field(default_factory=dict)


def write_findings(database: Path, dataset: Dataset, folder: Path) -> Counted:
    """Write findings.csv (with the rows' original columns), findings.json and findings.parquet into ``folder``.

    In bounded memory, however many there are.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with connect(database) as connection:
        key = _name(dataset.key)
        connection.execute(_ORDERED.format(key=key))
        connection.execute(f"copy ordered to '{folder / 'findings.parquet'}' (format parquet, row_group_size 10000)")
        shown = f"select {', '.join(map(_name, FIELDS))}, id from ordered order by number"
        connection.execute(f"copy ({shown}) to '{folder / 'findings.json'}' (format json, array true)")
        named = [str(row[0]) for row in connection.execute("describe raw").fetchall()]
        original = [name for name in named if name not in ("_row", dataset.key)]
        columns = ", ".join(_safe(f"raw.{_name(name)}", name) for name in original)
        connection.execute(
            f"""copy (
                select ordered.row, {_safe("ordered.id", "id")}, code, severity, {_safe('"column"', "column")},
                    {_safe("ordered.value", "value")}, {_safe("message", "message")}, {_safe("hint", "hint")}, line,
                    {_safe("array_to_string(related, ' ')", "related")},
                    {_safe("array_to_string(cycle, ' → ')", "cycle")}{", " + columns if columns else ""}
                from ordered left join raw on ordered.row = raw._row
                order by number
            ) to '{folder / "findings.csv"}' (format csv, header true)"""
        )
        return _count(connection)


_ORDERED = """
create or replace temp table ordered as
select row_number() over (order by f.row nulls first, f.code, f."column") as number, raw.{key} as id,
    f.code, f.severity, f.message, f.row,
    coalesce(f.line, lines.first_line + f.row - lines.first_row) as line,
    f."column", f.value, f.hint, f.related, f.cycle
from findings f
left join raw on f.row = raw._row
asof left join lines on f.row >= lines.first_row
order by number
"""


def _count(connection: Any) -> Counted:
    by_code = dict(connection.execute("select code, count(*) from findings group by code order by code").fetchall())
    ((records, errors, warnings, invalid),) = connection.execute(
        """with invalid as (
            select row from findings where severity = 'error'
            union
            select unnest(rows)::bigint from cycles
        )
        select
            greatest((select coalesce(max(records), 0) from reading), (select count(*) from raw)),
            count(*) filter (where severity = 'error'),
            count(*) filter (where severity != 'error'),
            (select count(distinct row) from invalid)
        from findings"""
    ).fetchall()
    return Counted(int(records), int(errors), int(warnings), int(invalid), by_code)


def _safe(expression: str, name: str) -> str:
    """A cell that no spreadsheet takes for a formula (OWASP, "CSV Injection"): a quote goes before it. Numbers are none."""
    formula, number = _FORMULA.format(v=expression), _NUMBER.format(v=expression)
    return f"case when {formula} and not {number} then '''' || {expression} else {expression} end as {_name(name)}"


def write_failures(failures: Iterable[Mapping[str, Any]], folder: Path) -> None:
    """Write failed.csv and failed.json: row, id, code, message, sqlstate, and the record's own columns.

    ``failures`` have these keys and ``record``, a mapping; all records have the same columns.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (
        (folder / "failed.csv").open("w", encoding="utf-8", newline="") as table,
        (folder / "failed.json").open("wb") as array,
    ):
        writer, separator = csv.writer(table), b"["
        names: list[str] = []
        for failure in failures:
            if separator == b"[":
                names = list(failure["record"])
                writer.writerow(["row", "id", "code", "message", "sqlstate", *names])
            about = [failure[name] for name in ("row", "id", "code", "message", "sqlstate")]
            writer.writerow([safe_cell(value) for value in (*about, *(failure["record"].get(name) for name in names))])
            array.write(separator + orjson.dumps(dict(failure), default=str))
            separator = b","
        array.write(b"]" if separator == b"," else b"[]")


def safe_cell(value: Any) -> Any:
    """A value as a cell of a CSV: what a spreadsheet would take for a formula gets a quote before it."""
    if isinstance(value, dict | list):
        value = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, str):
        return value
    opening = value.lstrip()[:1]
    if (opening and opening in "=+-@＝＋－＠") or value[:1] in ("\t", "\r", "\n"):
        try:
            float(value)
        except ValueError:
            return "'" + value
    return value


def as_json(value: Any) -> bytes:
    """A document as JSON, to be read by people too."""
    return orjson.dumps(value, default=str, option=orjson.OPT_INDENT_2)


def _name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
