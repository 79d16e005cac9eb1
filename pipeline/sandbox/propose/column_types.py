"""Which types take every value of a column, as text of a file: the narrowest first, and text wherever a digit would be lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import duckdb

from pipeline.sqlfiles import literal, quoted
from pipeline.staging.types import reading_of_type

SAMPLE = 2_000
"""So many values rule out most types before the whole file is read."""

DATE_FORMS = (
    "DD.MM.YYYY",
    "D.M.YYYY",
    "DD/MM/YYYY",
    "MM/DD/YYYY",
    "D/M/YYYY",
    "M/D/YYYY",
    "YYYY/MM/DD",
    "DD-MM-YYYY",
    "MM-DD-YYYY",
)
TIMES = ("", " HH:mm", " HH:mm:ss")
_DIGITS = {"YYYY": "[0-9]{4}", "MM": "(0[1-9]|1[0-2])", "DD": "(0[1-9]|[12][0-9]|3[01])", "HH": "([01][0-9]|2[0-3])"}
_DIGITS |= {"mm": "[0-5][0-9]", "ss": "[0-5][0-9]", "M": "(0?[1-9]|1[0-2])", "D": "(0?[1-9]|[12][0-9]|3[01])"}
_KEEPS_DIGITS = r"(-?(0|[1-9][0-9]*))([.,].*)?"
"""A number as a type of numbers would write it: no leading zero and no plus sign, which would be lost."""


@dataclass(frozen=True)
class Reading:
    """A type that takes every value of a column.

    ``format``: how the file writes dates; ``decimal`` and ``thousands``: how it writes numbers.
    """

    type: str
    format: str | None = None
    decimal: str | None = None
    thousands: str | None = None


def _fits(reading: Reading) -> str:
    """Return the SQL of whether the text ``{v}`` is of the type without any loss."""
    if reading.format:
        is_date = f"try_strptime({{v}}, {literal(_strptime(reading.format))}) is not null"
        return f"regexp_full_match({{v}}, {literal(_pattern(reading.format))}) and {is_date}"
    accepts = reading_of_type(reading.type).accepts or "true"
    if reading.type == "boolean":
        return "lower({v}) in ('true', 'false', 't', 'f')"
    if reading.type in ("integer", "bigint"):
        return f"regexp_full_match({{v}}, {literal(_KEEPS_DIGITS)}) and ({accepts})"
    if reading.type.startswith("numeric"):
        point, between = reading.decimal or ".", reading.thousands or ""
        whole = f"(0|[1-9][0-9]{{0,2}}([{between}][0-9]{{3}})+|[1-9][0-9]{{0,17}})" if between else "(0|[1-9][0-9]{0,17})"
        return f"regexp_full_match({{v}}, {literal(f'-?{whole}([{point}][0-9]{{1,18}})?')})"
    return accepts


def _pattern(form: str) -> str:
    return "".join(_DIGITS.get(part, "\\" + part if part in "./-" else part) for part in _parts(form))


def _strptime(form: str) -> str:
    names = {"YYYY": "%Y", "MM": "%m", "DD": "%d", "HH": "%H", "mm": "%M", "ss": "%S", "M": "%m", "D": "%d"}
    return "".join(names.get(part, part) for part in _parts(form))


def _parts(form: str) -> list[str]:
    found, rest = [], form
    while rest:
        part = next((name for name in _DIGITS if rest.startswith(name)), rest[0])
        found.append(part)
        rest = rest[len(part) :]
    return found


CANDIDATES = (
    Reading("boolean"),
    Reading("integer"),
    Reading("bigint"),
    Reading("numeric"),
    Reading("numeric", decimal=",", thousands="."),
    Reading("numeric", decimal=".", thousands=","),
    Reading("date"),
    Reading("timestamp"),
    Reading("timestamptz"),
    Reading("uuid"),
    *(Reading("timestamp" if time else "date", form + time) for time in TIMES for form in DATE_FORMS),
)
"""What a column may be, the narrowest first. An amount of 1,234 may be either of two numbers; so may 03/04 be two dates."""


def fitting(connection: duckdb.DuckDBPyConnection, column: str) -> list[Reading]:
    """Return the candidates that take every value of a column of ``raw``; none for a column without values."""
    value = quoted(column)
    left = _of(connection, value, CANDIDATES, f"(select {value} from raw where {value} is not null limit {SAMPLE})")
    return _of(connection, value, left, f"(select {value} from raw where {value} is not null)") if left else []


def _of(connection: duckdb.DuckDBPyConnection, value: str, among: Sequence[Reading], source: str) -> list[Reading]:
    tests = ", ".join(f"bool_and(coalesce({_fits(one).replace('{v}', value)}, false))" for one in among)
    row: Any = connection.execute(f"select {tests} from {source}").fetchone()
    return [one for one, fits in zip(among, row, strict=True) if fits]


def chosen(connection: duckdb.DuckDBPyConnection, column: str, readings: Sequence[Reading]) -> tuple[Reading, str]:
    """Return the reading to propose and why; text if the readings differ in what the values mean."""
    plain = [one for one in readings if one.format is None and one.decimal is None]
    if plain:
        best = next((one for one in plain if one.type != "uuid"), plain[0])
        if best.type in ("date", "timestamp", "timestamptz"):
            return best, f"every value is a {'date' if best.type == 'date' else 'date and time'}"
        if best.type == "integer":
            best = _room_to_grow(connection, column, best)
        words = {"boolean": "true or false", "uuid": "a UUID", "numeric": "a number"}
        return best, f"every value is {words.get(best.type, 'a whole number')}"
    dates = [one for one in readings if one.format]
    if dates and _is_one_order(dates):
        return dates[0], f"every value is a date as {dates[0].format}"
    if dates:
        return Reading("text"), f"its dates may be {dates[0].format} or {_other_order(dates).format}: choose one of them"
    numbers = [one for one in readings if one.decimal]
    if len(numbers) == 1 and _is_clear(connection, column, numbers[0]):
        return numbers[0], f"every value is a number with a decimal {'comma' if numbers[0].decimal == ',' else 'point'}"
    if numbers:
        return Reading("text"), "its numbers may have a decimal comma, or commas between thousands: choose one of them"
    return Reading("text"), ""


def _room_to_grow(connection: duckdb.DuckDBPyConnection, column: str, best: Reading) -> Reading:
    """Return bigint for numbers that come near the end of integer: the next file may have a larger one."""
    row = connection.execute(f"select max(abs(try_cast({quoted(column)} as bigint))) > 1000000000 from raw").fetchone()
    return Reading("bigint") if row and row[0] else best


def _order(reading: Reading) -> str:
    return "".join(part[0] for part in _parts(reading.format or "") if part in ("YYYY", "MM", "DD", "M", "D"))


def _is_one_order(dates: Sequence[Reading]) -> bool:
    return len({_order(one) for one in dates}) == 1


def _other_order(dates: Sequence[Reading]) -> Reading:
    return next(one for one in dates if _order(one) != _order(dates[0]))


def _is_clear(connection: duckdb.DuckDBPyConnection, column: str, number: Reading) -> bool:
    """Return whether a value shows which mark is the decimal one: it stands before other than three digits, or has both."""
    point, between = (",", "[.]") if number.decimal == "," else ("[.]", ",")
    shows = rf"-?[0-9]+{point}([0-9]{{1,2}}|[0-9]{{4,}})|-?[0-9]{{1,3}}({between}[0-9]{{3}})+{point}[0-9]+|-?0{point}[0-9]+"
    shows += rf"|-?[0-9]{{1,3}}({between}[0-9]{{3}}){{2,}}"
    row = connection.execute(
        f"select bool_or(regexp_full_match({quoted(column)}, {literal(shows)})) from raw where {quoted(column)} is not null"
    ).fetchone()
    return bool(row and row[0])
