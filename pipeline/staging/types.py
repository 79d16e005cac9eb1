"""How the text of a value is read as each PostgreSQL type: exactly, or not at all.

DuckDB's own casts are friendlier than a warehouse can afford: ``1.005`` becomes 1.01, ``1e2`` becomes 100. So each type has a
pattern of the spellings that mean one value exactly. Nothing is rounded, trimmed or guessed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from pipeline.sqlfiles import literal


@dataclass(frozen=True)
class TypeReading:
    """How text is read as one type. ``accepts`` and ``value`` are SQL over the placeholder ``{v}``."""

    type: str  # DuckDB's name of the type
    accepts: str | None  # None: any text
    value: str
    expected: str
    code: str = "invalid_type"


_DATE = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_TIME = r"[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?"
_OFFSET = r"[+-][0-9]{2}(:?[0-9]{2})?"
_STRINGS = r""""(\\.|[^"\\])*\""""
_LAX_JSON = r"(?i)nan|inf|,\s*[\]}]|/"  # what DuckDB lets pass and PostgreSQL's jsonb does not
_INTEGERS = {"smallint": 2**15, "int": 2**31, "integer": 2**31, "bigint": 2**63}
_FLOATS = {"real": "real", "double precision": "double", "double": "double"}
NUMBER_TYPES = (*_INTEGERS, *_FLOATS, "numeric", "decimal")
_TEMPORAL = {
    "date": ("date", _DATE, "a date, for instance 2024-05-31"),
    "time": ("time", _TIME, "a time of day, for instance 12:30:00"),
    "timestamp": (
        "timestamp",
        f"{_DATE}([T ]{_TIME}Z?)?",
        "a date and time without an offset, for instance 2024-05-31T12:30:00",
    ),
    "timestamptz": (
        "timestamptz",
        f"{_DATE}([T ]{_TIME}(Z|{_OFFSET})?)?",
        "a date and time, for instance 2024-05-31T12:30:00+02:00 (without an offset it is taken as UTC)",
    ),
}


def reading_of_type(type_: str) -> TypeReading:
    """Return how text is read as a PostgreSQL type, which is spelled as in ``Column.type``.

    A type that is not among those below stays text; PostgreSQL casts it, record by record.
    """
    name, size, scale = parts_of_type(type_)
    if name in _INTEGERS:
        top = _INTEGERS[name]
        example = f"a whole number between {-top} and {top - 1}, for instance 42"
        return _plainly(_by_cast(name, "[+-]?[0-9]+", example))
    if name in _FLOATS:
        digits = r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?"
        return _by_cast(_FLOATS[name], digits, "a number, for instance 3.14", also="and isfinite({cast})")
    if name in ("numeric", "decimal"):
        return _plainly(_exact(size, scale or 0))
    if name == "boolean":
        return _by_cast("boolean", "(?i)(true|false|t|f|1|0)", "true or false")
    if name == "uuid":
        hexes = "(?i)[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
        return _by_cast("uuid", hexes, "a UUID, for instance 5f1d4c52-7f0e-5d0b-9c39-3f8b6c0c7a11")
    if name in _TEMPORAL:
        return _by_cast(*_TEMPORAL[name])
    if name in ("json", "jsonb"):
        bare = f"regexp_replace({{v}}, {literal(_STRINGS)}, '\"\"', 'g')"
        strict = f"json_valid({{v}}) and not regexp_matches({bare}, {literal(_LAX_JSON)})"
        return TypeReading("varchar", strict, "{v}", 'JSON, for instance {"colour": "red"}')
    if name in ("varchar", "char") and size:
        return TypeReading("varchar", f"length({{v}}) <= {size}", "{v}", f"at most {size} characters", "value_too_long")
    return TypeReading("varchar", None, "{v}", "text")


def parts_of_type(type_: str) -> tuple[str, int | None, int | None]:
    """Return the parts of a type: ``numeric(12, 2)`` gives (numeric, 12, 2). A timestamp's zone is part of its name."""
    match = re.fullmatch(r"([a-z][a-z ]*?)\s*(?:\((\d+)(?:,\s*(\d+))?\))?", type_)
    if not match:
        return type_, None, None
    name, size, scale = match.groups()
    return name, int(size) if size else None, int(scale) if scale else None


def _by_cast(type_: str, pattern: str, expected: str, also: str = "") -> TypeReading:
    cast = f"try_cast({{v}} as {type_})"
    accepts = f"regexp_full_match({{v}}, {literal(pattern)}) and {cast} is not null {also.replace('{cast}', cast)}"
    return TypeReading(type_, accepts, cast, expected)


def _exact(precision: int | None, scale: int) -> TypeReading:
    """Return the reading of a decimal number that fits without rounding; only zeros at either end may be too many."""
    if precision is None:  # PostgreSQL's numeric without a precision has no limits; these are DuckDB's
        precision, scale = 38, 18
    precision = min(precision, 38)
    whole = max(precision - scale, 0)
    pattern = rf"[+-]?0*[0-9]{{0,{whole}}}(\.[0-9]{{0,{scale}}}0*)?"
    type_ = f"decimal({precision},{scale})"
    accepts = (
        f"regexp_full_match({{v}}, {literal(pattern)}) and regexp_matches({{v}}, '[0-9]')"
        f" and try_cast({{v}} as {type_}) is not null"
    )
    example = f"a number with at most {whole} digits before and {scale} after the point"
    return TypeReading(type_, accepts, f"try_cast({{v}} as {type_})", example)


def _plainly(reading: TypeReading) -> TypeReading:
    """Return the same reading, made faster: a number that DuckDB would spell in the same way needs no pattern."""
    spelled = f"{reading.value}::varchar = {{v}}"
    return replace(reading, accepts=f"case when {spelled} then true else {reading.accepts} end")
