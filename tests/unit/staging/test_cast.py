"""Text becomes typed columns exactly, or becomes a finding; nothing is rounded, trimmed or guessed."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipeline.datasets.dataset import Dataset, load_dataset
from pipeline.errors import InvalidConfiguration
from pipeline.staging.cast import stage
from pipeline.staging.types import reading_of_type
from tests.support.staging import empty, run_stage

Rows = list[tuple[Any, ...]]


@pytest.fixture
def dataset_of(tmp_path: Path) -> Callable[..., Dataset]:
    """A dataset with these columns beside id and parentId."""

    def make(columns: str, suite: dict[str, Any] | None = None, staging: str | None = None) -> Dataset:
        for folder in ("expectations", "sql/tables", "sql/staging"):
            (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        (tmp_path / "expectations" / "things.json").write_text(json.dumps(suite or {"name": "things"}))
        (tmp_path / "sql" / "tables" / "things.sql").write_text(
            f'create table warehouse.things (id text primary key, "parentId" text, {columns},'
            " _import_id uuid not null, _row bigint not null, _loaded_at timestamptz not null)"
        )
        if staging:
            (tmp_path / "sql" / "staging" / "things.sql").write_text(staging)
        return load_dataset("things", tmp_path)

    return make


@pytest.fixture
def staged(database: Path) -> Callable[..., tuple[Rows, Rows]]:
    """Stage rows given as dictionaries of texts; gives ``incoming`` and (row, column, code, value) of the findings."""

    def run(dataset: Dataset, *rows: dict[str, str | None], columns: list[str] | None = None) -> tuple[Rows, Rows]:
        empty(database)
        names = columns or list(dict.fromkeys(name for row in rows for name in row))
        with duckdb.connect(str(database)) as connection:
            quoted = ['"' + name.replace('"', '""') + '" varchar' for name in names]
            connection.execute(f"create table raw (_row bigint, {', '.join(quoted)})")
            for number, row in enumerate(rows, 1):
                marks = ", ".join("?" for _ in names)
                connection.execute(f"insert into raw values (?, {marks})", [number, *(row.get(n) for n in names)])
        run_stage(stage, database, dataset)
        with duckdb.connect(str(database)) as connection:
            connection.execute("set timezone = 'UTC'")
            incoming = connection.execute("select * from incoming order by _row").fetchall()
            found = connection.execute(
                'select row, "column", code, value from findings order by row, "column", code'
            ).fetchall()
        return incoming, found

    return run


UTC = dt.UTC

GOOD = [
    ("integer", "42", 42),
    ("integer", "-7", -7),
    ("integer", "007", 7),
    ("smallint", "32767", 32767),
    ("bigint", "9223372036854775807", 2**63 - 1),
    ("numeric(12,2)", "1.005000", None),
    ("numeric(12,2)", "1.50", Decimal("1.50")),
    ("numeric(12,2)", "1.500", Decimal("1.50")),
    ("numeric(12,2)", "0001234567890.12", Decimal("1234567890.12")),
    ("numeric(12,2)", "-.5", Decimal("-0.50")),
    ("numeric(5)", "12345", Decimal("12345")),
    ("numeric", "12345678901234567890.123456789012345678", Decimal("12345678901234567890.123456789012345678")),
    ("double precision", "1e5", 1e5),
    ("real", ".5", 0.5),
    ("boolean", "true", True),
    ("boolean", "F", False),
    ("boolean", "1", True),
    ("date", "2024-02-29", dt.date(2024, 2, 29)),
    ("time", "12:30", dt.time(12, 30)),
    ("timestamp", "2024-05-31T12:30:00.5", dt.datetime(2024, 5, 31, 12, 30, 0, 500000)),
    ("timestamp", "2024-05-31 12:30", dt.datetime(2024, 5, 31, 12, 30)),
    ("timestamp", "2024-05-31T12:30:00Z", dt.datetime(2024, 5, 31, 12, 30)),
    ("timestamptz", "2024-05-31T12:30:00+02:00", dt.datetime(2024, 5, 31, 10, 30, tzinfo=UTC)),
    ("timestamptz", "2024-05-31T12:30:00Z", dt.datetime(2024, 5, 31, 12, 30, tzinfo=UTC)),
    ("timestamptz", "2024-05-31", dt.datetime(2024, 5, 31, tzinfo=UTC)),
    ("jsonb", '{"a": [1, "nan, ]"]}', '{"a": [1, "nan, ]"]}'),
    ("varchar(3)", "äöü", "äöü"),
    ("text", "  spaces stay ", "  spaces stay "),
    ("text[]", "{a,b}", "{a,b}"),
]

BAD = [
    ("integer", "1.0"),
    ("integer", "1e5"),
    ("integer", " 42"),
    ("integer", "0x10"),
    ("integer", "1_000"),
    ("integer", "2147483648"),
    ("smallint", "32768"),
    ("integer", "abc"),
    ("numeric(12,2)", "1.005"),
    ("numeric(12,2)", "12345678901.00"),
    ("numeric(12,2)", "1e2"),
    ("numeric(12,2)", "."),
    ("numeric(12,2)", "-"),
    ("numeric(12,2)", "1,5"),
    ("numeric(5)", "1.5"),
    ("double precision", "nan"),
    ("double precision", "Infinity"),
    ("double precision", "1e999"),
    ("boolean", "yes"),
    ("boolean", "2"),
    ("date", "2023-02-29"),
    ("date", "31.05.2024"),
    ("date", "2024-5-1"),
    ("timestamp", "2024-05-31T12:30:00+02:00"),
    ("timestamp", "2024-05-31T25:00:00"),
    ("timestamp", "2024-05-31T12:30:00.1234567"),
    ("timestamptz", "yesterday"),
    ("uuid", "123"),
    ("jsonb", "{'a': 1}"),
    ("jsonb", '{"a": NaN}'),
    ("jsonb", "[1,]"),
    ("jsonb", "plain"),
]


@pytest.mark.parametrize(("type_", "text", "value"), GOOD)
def test_what_means_one_value_is_that_value(
    dataset_of: Callable[..., Dataset], staged: Callable[..., tuple[Rows, Rows]], type_: str, text: str, value: object
) -> None:
    incoming, found = staged(dataset_of(f"x {type_}"), {"id": "1", "parentId": None, "x": text})
    if value is None:
        assert [row[2] for row in found] == ["invalid_type"]
    else:
        assert found == []
        assert incoming == [(1, "1", None, value)]


@pytest.mark.parametrize(("type_", "text"), BAD)
def test_what_does_not_is_a_finding_with_its_value(
    dataset_of: Callable[..., Dataset], staged: Callable[..., tuple[Rows, Rows]], type_: str, text: str
) -> None:
    incoming, found = staged(dataset_of(f"x {type_}"), {"id": "1", "parentId": None, "x": text})
    assert found == [(1, "x", "invalid_type", text)]
    assert incoming == [(1, "1", None, None)]


def test_a_text_that_is_too_long_is_a_finding(
    dataset_of: Callable[..., Dataset], staged: Callable[..., tuple[Rows, Rows]]
) -> None:
    _, found = staged(dataset_of("x varchar(3)"), {"id": "1", "x": "abcd"})
    assert found == [(1, "x", "value_too_long", "abcd")]


def test_the_hint_says_what_was_expected(dataset_of: Callable[..., Dataset], tmp_path: Path) -> None:
    assert "for instance 42" in reading_of_type("integer").expected
    assert "2 after the point" in reading_of_type("numeric(12,2)").expected


def test_a_missing_value_is_one_finding_and_not_two(
    dataset_of: Callable[..., Dataset], staged: Callable[..., tuple[Rows, Rows]]
) -> None:
    """What could not be read is no longer missing, and what the suite says of a column is the suite's to say."""
    dataset = dataset_of("x integer not null, y text not null, z text not null", suite=_not_null("z"))
    _, found = staged(
        dataset,
        {"id": "1", "x": "1", "y": "a", "z": "a"},
        {"id": "2", "x": "one", "y": None, "z": None},
        {"id": None, "x": "", "y": "", "z": "a"},
    )
    assert found == [
        (2, "x", "invalid_type", "one"),
        (2, "y", "missing_value", None),
        (3, "id", "missing_id", None),
        (3, "x", "missing_value", None),
    ]


def test_an_empty_id_or_parent_is_none(dataset_of: Callable[..., Dataset], staged: Callable[..., tuple[Rows, Rows]]) -> None:
    incoming, found = staged(dataset_of("x text", suite=_not_null("id")), {"id": "", "parentId": "", "x": ""})
    assert incoming == [(1, None, None, "")]
    assert found == []


def test_the_rest_is_kept_as_json(staged: Callable[..., tuple[Rows, Rows]]) -> None:
    incoming, found = staged(
        load_dataset("records"),
        {"id": "1", "parentId": None, 'odd "name"\\': 'quote " and \\ and \n', "colour": None, "größe": "3"},
        {"id": "2", "parentId": "1"},
    )
    assert found == []
    assert json.loads(incoming[0][4]) == {'odd "name"\\': 'quote " and \\ and \n', "größe": "3"}
    assert incoming[1] == (2, "2", "1", None, "{}")


def test_the_rest_takes_in_what_comes_under_its_own_name(staged: Callable[..., tuple[Rows, Rows]]) -> None:
    incoming, found = staged(
        load_dataset("records"),
        {"id": "1", "attributes": '{"a": {"b": [1]}, "c": 2}', "d": "3"},
        {"id": "2", "attributes": "no object", "d": "3"},
        {"id": "3", "attributes": None, "d": "3"},
    )
    assert json.loads(incoming[0][4]) == {"a": {"b": [1]}, "c": 2, "d": "3"}
    assert json.loads(incoming[2][4]) == {"d": "3"}
    assert found == [(2, "attributes", "invalid_type", "no object")]


EXACT = '{ "a" : 0.12345678901234567890123, "b":1.10,"c":1e400, "d": -0, "e":[123456789012345678901234567890], "f": " } " }'


@pytest.mark.parametrize("own", [EXACT, "{}", " {\n\t} ", EXACT + "\n"])
def test_the_rest_is_joined_as_it_is_written(staged: Callable[..., tuple[Rows, Rows]], own: str) -> None:
    """Parsing it would round its numbers."""
    rows = [{"id": "1", "attributes": own, "price": "1.10"}, {"id": "2", "attributes": own, "price": None}]
    incoming, found = staged(load_dataset("records"), *rows)
    exactly = {"parse_float": str, "parse_int": str}
    assert json.loads(incoming[0][4], **exactly) == {**json.loads(own, **exactly), "price": "1.10"}  # type: ignore[arg-type]
    assert json.loads(incoming[1][4], **exactly) == json.loads(own, **exactly)  # type: ignore[arg-type]
    assert found == []


TWICE = [
    ('{"a":1,"a":2}', "'a' appears twice in attributes."),
    ('{"x":{"b":[0,{"c":1, "c" :1}]}}', "'c' appears twice in attributes.x.b[1]."),
    ('{"a":1,"\\u0061":2}', "'a' appears twice in attributes."),
    ('{"d":1}', "'d' appears twice in attributes."),  # which is a column of the file as well
    ('{"a":"\\"b\\":","c":{"a":1},"e":[{"a":1},{"a":1}],"f":"\\u0061"}', None),
]


@pytest.mark.parametrize(("own", "said"), TWICE)
def test_a_key_that_stands_twice_in_json_of_a_cell_is_refused(
    staged: Callable[..., tuple[Rows, Rows]], database: Path, own: str, said: str | None
) -> None:
    """However the file came: a CSV's cell, a workbook's, a text in JSON or Parquet."""
    _, found = staged(
        load_dataset("records"), {"id": "1", "attributes": own, "d": "3"}, {"id": "2", "attributes": "{}", "d": "3"}
    )
    assert found == ([(1, "attributes", "malformed_row", None)] if said else [])
    with duckdb.connect(str(database)) as connection:
        assert connection.execute("select message from findings").fetchall() == ([(f"The key {said}",)] if said else [])


def test_a_column_that_is_not_in_the_file_is_empty(
    dataset_of: Callable[..., Dataset], staged: Callable[..., tuple[Rows, Rows]]
) -> None:
    incoming, _ = staged(dataset_of("x integer, y date"), {"id": "1"})
    assert incoming == [(1, "1", None, None, None)]


def test_a_query_by_hand_comes_before_the_derived_one(
    dataset_of: Callable[..., Dataset], staged: Callable[..., tuple[Rows, Rows]]
) -> None:
    dataset = dataset_of(
        "x integer",
        staging='-- Half of it.\nselect _row, id, mother as "parentId", try_cast(x as integer) // 2 as x from raw;',
    )
    incoming, found = staged(dataset, {"id": "1", "mother": "0", "x": "8"}, {"id": "2", "mother": "1", "x": "?"})
    assert incoming == [(1, "1", "0", 4), (2, "2", "1", None)]
    assert found == [(2, "x", "invalid_type", "?")]


@pytest.mark.parametrize("kind", ["bigint", "uuid", "citext", "char(8)", "name"])
@pytest.mark.parametrize("column", ["id", "parentId"])
def test_a_key_or_parent_that_is_no_text_is_refused(
    dataset_of: Callable[..., Dataset], tmp_path: Path, column: str, kind: str
) -> None:
    dataset_of("x integer")
    table = tmp_path / "sql" / "tables" / "things.sql"
    table.write_text(
        table.read_text().replace(f"{column} text", f"{column} {kind}").replace(f'"{column}" text', f'"{column}" {kind}')
    )
    with pytest.raises(
        InvalidConfiguration, match=rf"sql/tables/things.sql: the column {column} is {re.escape(kind)}; the key and the parent"
    ):
        load_dataset("things", tmp_path)


@pytest.mark.parametrize("kind", ["text", "varchar", "varchar(80)", 'text collate "C"'])
def test_a_key_may_be_any_text(dataset_of: Callable[..., Dataset], tmp_path: Path, kind: str) -> None:
    dataset_of("x integer")
    table = tmp_path / "sql" / "tables" / "things.sql"
    table.write_text(table.read_text().replace("id text", f"id {kind}"))
    assert load_dataset("things", tmp_path).key == "id"


def test_a_column_of_json_is_refused_since_nothing_can_be_compared_with_it(dataset_of: Callable[..., Dataset]) -> None:
    with pytest.raises(InvalidConfiguration, match=r"the column x is json, .* declare it as jsonb"):
        dataset_of("x json")


def test_a_long_value_is_cut_in_its_finding(
    dataset_of: Callable[..., Dataset], staged: Callable[..., tuple[Rows, Rows]]
) -> None:
    _, ((_, _, _, value),) = staged(dataset_of("x integer"), {"id": "1", "x": "y" * 1000})
    assert value == "y" * 200


def _not_null(column: str) -> dict[str, Any]:
    return {
        "name": "things",
        "expectations": [{"type": "expect_column_values_to_not_be_null", "kwargs": {"column": column}}],
    }
