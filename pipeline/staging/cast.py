"""The second step of a record's way: the file's text becomes typed columns, exactly or not at all.

``raw`` (every column text, as the reader left it) becomes ``incoming`` (the dataset's columns with the table's types).
DuckDB's own casts are friendlier than a warehouse can afford: ``1.005`` becomes 1.01, ``1e2`` becomes 100. So each type
has a pattern of the spellings that mean one value exactly; whatever does not match is left empty here and becomes a
finding that says what was expected. Nothing is rounded, trimmed or guessed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import duckdb

from pipeline.datasets.dataset import Column, Dataset
from pipeline.errors import InvalidConfiguration
from pipeline.exact_json import duplicate_key_in_text, duplicate_key_message
from pipeline.sqlfiles import literal, quoted
from pipeline.staging.database import FINDINGS, VALUE_LENGTH, by_rows


@dataclass(frozen=True)
class Reading:
    """How text becomes a value of one type. ``accepts`` and ``value`` are SQL over the placeholder ``{v}``."""

    type: str  # DuckDB's name of the type
    accepts: str | None  # None: any text will do
    value: str
    expected: str
    code: str = "invalid_type"


_FETCH_ROWS = 100

# --- The types ---

_DATE = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_TIME = r"[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?"
_OFFSET = r"[+-][0-9]{2}(:?[0-9]{2})?"
_STRINGS = r""""(\\.|[^"\\])*\""""
_BLANK = "[ \\t\\r\\n]*"
_TOKENS = r""""(?:\\.|[^"\\])*"[ \t\r\n]*:?"""
"""Strings of a JSON text, those that are keys with their colon."""

_LAX_JSON = r"(?i)nan|inf|,\s*[\]}]|/"  # what DuckDB lets pass and PostgreSQL's jsonb does not
_INTEGERS = {"smallint": 2**15, "int": 2**31, "integer": 2**31, "bigint": 2**63}
_FLOATS = {"real": "real", "double precision": "double", "double": "double"}
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


def reading_of(type_: str) -> Reading:
    """How text is read as a PostgreSQL type, which is spelled as in ``Column.type``.

    A type without a reading of its own stays text here; the warehouse itself casts it, record by record.
    """
    name, size, scale = _parts_of(type_)
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
        return Reading("varchar", strict, "{v}", 'JSON, for instance {"colour": "red"}')
    if name in ("varchar", "char") and size:
        return Reading("varchar", f"length({{v}}) <= {size}", "{v}", f"at most {size} characters", "value_too_long")
    return Reading("varchar", None, "{v}", "text")


def _parts_of(type_: str) -> tuple[str, int | None, int | None]:
    """``numeric(12, 2)`` -> (numeric, 12, 2); the zone of a timestamp counts to its name, its precision does not."""
    match = re.fullmatch(r"([a-z][a-z ]*?)\s*(?:\((\d+)(?:,\s*(\d+))?\))?", type_)
    if not match:
        return type_, None, None
    name, size, scale = match.groups()
    return name, int(size) if size else None, int(scale) if scale else None


def _by_cast(type_: str, pattern: str, expected: str, also: str = "") -> Reading:
    cast = f"try_cast({{v}} as {type_})"
    accepts = f"regexp_full_match({{v}}, {literal(pattern)}) and {cast} is not null {also.replace('{cast}', cast)}"
    return Reading(type_, accepts, cast, expected)


def _exact(precision: int | None, scale: int) -> Reading:
    """A decimal number that fits without rounding: zeros at either end do no harm, any other digit too many does."""
    if precision is None:  # PostgreSQL's bare numeric has no limits; this is as far as DuckDB goes
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
    return Reading(type_, accepts, f"try_cast({{v}} as {type_})", example)


def _plainly(reading: Reading) -> Reading:
    """The same, faster: a number that is spelled as DuckDB itself would spell it needs no pattern."""
    spelled = f"{reading.value}::varchar = {{v}}"
    return replace(reading, accepts=f"case when {spelled} then true else {reading.accepts} end")


# --- Staging ---


def stage(connection: duckdb.DuckDBPyConnection, dataset: Dataset) -> None:
    """Make ``incoming`` from ``raw``, and findings of what does not fit its column's type or is missing.

    To be run once, on what the reader left. ``raw`` may lack any column: the reader says which it cannot do without.
    """
    connection.execute(FINDINGS)
    _check_defaults(connection, dataset)
    present = [str(row[0]) for row in connection.execute("describe raw").fetchall()]
    _fill_incoming(connection, dataset, present)
    _find_uncast(connection, dataset, present)
    _find_twice(connection, dataset, present)
    _find_missing(connection, dataset)


def casts(dataset: Dataset, present: Sequence[str]) -> dict[str, str]:
    """The file's columns that have to be cast, each with the SQL that does it.

    A reader may do that in passing and keep the values in ``text_rows`` under ``typed_name``; ``incoming`` then takes them from
    there, and nothing is copied.
    """
    if dataset.staging_file.is_file() or any(name.startswith(typed_name("")) for name in present):
        return {}
    own = [column for column in dataset.columns if column.name in present and column.name != dataset.rest]
    return {column.name: _value(column, dataset, present) for column in own if reading_of(column.type).accepts is not None}


def typed_name(name: str) -> str:
    """What a column's values are called beside its text."""
    return f"_typed {name}"


def derived_query(dataset: Dataset, present: list[str]) -> str:
    """The staging query that follows from the table: each column read by its type, the others gathered in ``rest``."""
    picks = ["_row", *(f"{_value(column, dataset, present)} as {quoted(column.name)}" for column in dataset.columns)]
    return f"select {', '.join(picks)} from raw"


def _fill_incoming(connection: duckdb.DuckDBPyConnection, dataset: Dataset, present: list[str]) -> None:
    """Typed by the table even where the query is written by hand, so that every later step may rely on it.

    Where nothing is cast it is a view of the text itself, which need not stand there twice.
    """
    if _is_plain_text(dataset):
        connection.execute(f"create or replace view incoming as {derived_query(dataset, present)}")
        return
    cast_in_passing = _cast_in_passing(connection, dataset, present)
    if cast_in_passing:
        connection.execute(f"create or replace view incoming as {cast_in_passing}")
        return
    typed = [f"{quoted(c.name)} {reading_of(c.type).type}" for c in dataset.columns]
    connection.execute(f"create or replace table incoming (_row bigint, {', '.join(typed)})")
    if dataset.staging_file.is_file():
        query = dataset.staging_file.read_text(encoding="utf-8").rstrip().rstrip(";")
        connection.execute(f"insert into incoming by name {query}")
    else:
        by_rows(connection, f"insert into incoming by name {derived_query(dataset, present)} where {{range}}", of="raw")


def _cast_in_passing(connection: duckdb.DuckDBPyConnection, dataset: Dataset, present: list[str]) -> str:
    """The staging query over what the reader has cast already; empty if it has not."""
    named = "select column_name from duckdb_columns() where table_name = 'text_rows'"
    there = {str(row[0]) for row in connection.execute(named).fetchall()}
    wanted = casts(dataset, present)
    if not wanted or not there.issuperset(map(typed_name, wanted)):
        return ""
    values = {c.name: quoted(typed_name(c.name)) if c.name in wanted else _value(c, dataset, present) for c in dataset.columns}
    picks = ", ".join(f"{value} as {quoted(name)}" for name, value in values.items())
    return f"select rowid + 1 as _row, {picks} from text_rows"


def _is_plain_text(dataset: Dataset) -> bool:
    """Every column is text as it stands, but for the one that gathers the rest."""
    own = [column for column in dataset.columns if column.name != dataset.rest]
    return not dataset.staging_file.is_file() and all(reading_of(column.type).accepts is None for column in own)


def _value(column: Column, dataset: Dataset, present: Sequence[str]) -> str:
    """A column's value as SQL over ``raw``."""
    if column.name == dataset.rest:
        return _rest(dataset, present)
    if _is_given(column, dataset, present):
        return _read(column, dataset, present)
    return f"cast(null as {reading_of(column.type).type})"


def _is_given(column: Column, dataset: Dataset, present: Sequence[str]) -> bool:
    """The file has the column, or its values follow from something else."""
    from_path = column.name == dataset.parent and dataset.shape.path_separator is not None
    return column.name in present or column.name in dataset.mapping.defaults or from_path


def _text(column: Column, dataset: Dataset, present: Sequence[str]) -> str:
    """The text to read: an empty one is no value, except in a column of text, where it may be meant."""
    if column.name == dataset.parent and dataset.shape.path_separator is not None:
        return parent_of(quoted(dataset.key), dataset.shape.path_separator)
    default = dataset.mapping.defaults.get(column.name)
    if default is not None:
        own = f"nullif({quoted(column.name)}, '')" if column.name in present else "null"
        return f"coalesce({own}, {literal(default)})"
    plain = reading_of(column.type).type == "varchar" and column.name not in (dataset.key, dataset.parent)
    return quoted(column.name) if plain else f"nullif({quoted(column.name)}, '')"


def parent_of(path: str, separator: str) -> str:
    """SQL for the parent of a ``path`` (SQL too), without its last step; null for the first level."""
    last = f"length(split_part({path}, {literal(separator)}, -1))"
    return f"nullif(left({path}, greatest(length({path}) - {last} - {len(separator)}, 0)), '')"


def _check_defaults(connection: duckdb.DuckDBPyConnection, dataset: Dataset) -> None:
    """A default must itself be what its column takes. Raises InvalidConfiguration: else every record would be at fault."""
    for name, default in dataset.mapping.defaults.items():
        reading = reading_of(dataset.column(name).type)
        fits = f"select {reading.accepts.replace('{v}', literal(default))}" if reading.accepts else "select true"
        if connection.execute(fits).fetchall() != [(True,)]:
            raise InvalidConfiguration(
                f"expectations/{dataset.name}.json: the default of {name}, {default!r}, is not {reading.expected}."
            )


def _read(column: Column, dataset: Dataset, present: Sequence[str]) -> str:
    reading, text = reading_of(column.type), _text(column, dataset, present)
    value = reading.value.replace("{v}", text)
    if reading.accepts is None:
        return value
    return f"case when {reading.accepts.replace('{v}', text)} then {value} end"


def _rest(dataset: Dataset, present: Sequence[str]) -> str:
    """A JSON object of the columns that the table does not name; empty values are left out."""
    others = [name for name in present if name not in (*dataset.names, "_row")]
    members = ", ".join(f"{literal(_json_key(name))} || to_json({quoted(name)})" for name in others)
    gathered = f"'{{' || concat_ws(',', {members}) || '}}'" if members else "'{}'"
    if dataset.rest is None or dataset.rest not in present:
        return gathered
    own = quoted(dataset.rest)
    both = f"case when {_is_empty(own)} then {gathered} else {_joined(own, gathered)} end" if members else own
    return f"case when {own} is null then {gathered} when {_is_object(own)} then {both} end"


def _is_empty(text: str) -> str:
    return f"regexp_full_match({text}, {literal(_BLANK + '[{]' + _BLANK + '[}]' + _BLANK)})"


def _joined(own: str, gathered: str) -> str:
    """SQL for one object with the members of two, as they are written: to parse them would round their numbers."""
    opened = f"regexp_replace({own}, {literal('[}]' + _BLANK + '$')}, '')"
    return f"case when {gathered} = '{{}}' then {own} else {opened} || ',' || substr({gathered}, 2) end"


def _is_object(text: str) -> str:
    accepts = reading_of("jsonb").accepts or ""
    return f"({accepts.replace('{v}', text)} and json_type({text}) = 'OBJECT')"


# --- Findings ---


def _find_uncast(connection: duckdb.DuckDBPyConnection, dataset: Dataset, present: list[str]) -> None:
    """What had a value in the file and has none now."""
    for column in dataset.columns:
        reading = reading_of(column.type)
        if column.name not in present or (reading.accepts is None and not dataset.staging_file.is_file()):
            continue
        expected = "a JSON object" if column.name == dataset.rest else reading.expected
        text = _text(column, dataset, present)
        by_rows(
            connection,
            f"""insert into findings by name
            select $code as code, 'error' as severity, left({text}, 60) || ' is not ' || $expected || '.' as message,
                _row as row, $name as "column", left({text}, {VALUE_LENGTH}) as value,
                'Expected ' || $expected || '.' as hint
            from {_uncast(column, dataset, present)} where {text} is not null and {{range}}""",
            of="raw",
            **{"code": reading.code, "expected": expected, "name": column.name},
        )


def _uncast(column: Column, dataset: Dataset, present: list[str]) -> str:
    """The rows of ``raw`` of which ``incoming`` has no value."""
    if _is_plain_text(dataset):
        return f"(from raw where ({_value(column, dataset, present)}) is null)"
    return f"raw semi join (select _row from incoming where {quoted(column.name)} is null) using (_row)"


def _find_twice(connection: duckdb.DuckDBPyConnection, dataset: Dataset, present: list[str]) -> None:
    """Objects in which a key stands twice: the warehouse would keep one of the two, and which one was meant is unknown.

    Only what has a key twice anywhere, or spells one with an escape, is parsed.
    """
    for column in dataset.columns:
        if column.name not in present or _parts_of(column.type)[0] not in ("json", "jsonb"):
            continue
        keys = f"list_filter(regexp_extract_all(value, {literal(_TOKENS)}), lambda token: ends_with(token, ':'))"
        keys = f"list_transform({keys}, lambda token: rtrim(rtrim(token, ':'), chr(32) || chr(9) || chr(10) || chr(13)))"
        connection.execute("create or replace table suspects (_row bigint, value varchar)")
        by_rows(
            connection,
            f"""insert into suspects
            with told as (select _row, {quoted(column.name)} as value from incoming where {{range}}),
            keyed as (select _row, value, {keys} as keys from told where value is not null)
            select _row, value from keyed
            where len(list_distinct(keys)) < len(keys) or len(list_filter(keys, lambda key: contains(key, chr(92)))) > 0""",
        )
        _judge_suspects(connection, column)
        connection.execute("drop table suspects")


def _judge_suspects(connection: duckdb.DuckDBPyConnection, column: Column) -> None:
    """Add a finding for each of the ``suspects``, texts of ``column``, in which a key does stand twice."""
    cursor = connection.cursor()  # its own, since findings are written while values are read
    cursor.execute("select _row, value from suspects order by rowid")
    while some := cursor.fetchmany(_FETCH_ROWS):
        found = {
            row: duplicate_key_message(*twice) for row, text in some if (twice := duplicate_key_in_text(text, column.name))
        }
        connection.execute(
            """insert into findings by name
            select 'malformed_row' as code, 'error' as severity, unnest($messages::varchar[]) as message,
                unnest($rows::bigint[]) as row, $name as "column", 'Keep one of the two.' as hint""",
            {"messages": [*found.values()], "rows": [*found], "name": column.name},
        )
    cursor.close()


def _find_missing(connection: duckdb.DuckDBPyConnection, dataset: Dataset) -> None:
    """Columns that must have a value, unless the suite says so too: then the suite's own words are used."""
    for column in dataset.columns:
        if not column.required or column.name == dataset.rest or column.name in _owned_by_suite(dataset):
            continue
        code = "missing_id" if column.name == dataset.key else "missing_value"
        connection.execute(
            f"""insert into findings by name
            select $code as code, 'error' as severity, 'The ' || $name || ' is missing.' as message, _row as row,
                $name as "column", 'Every record needs a value here.' as hint
            from incoming
            anti join findings said on said.row = incoming._row and said."column" = $name
            where {quoted(column.name)} is null""",
            {"code": code, "name": column.name},
        )


def _owned_by_suite(dataset: Dataset) -> set[str]:
    """The columns of which the suite itself says that they must not be empty."""
    return {
        expectation["kwargs"]["column"]
        for expectation in dataset.suite.get("expectations", [])
        if expectation["type"] == "expect_column_values_to_not_be_null"
    }


def original_names(connection: duckdb.DuckDBPyConnection) -> dict[str, str]:
    """What the file calls the columns of ``raw``, in the file's order."""
    pairs = connection.execute("select unnest(columns), unnest(original_columns) from reading").fetchall()
    return {str(name): str(original) for name, original in pairs}


# --- Spelling ---


def _json_key(name: str) -> str:
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '":'
