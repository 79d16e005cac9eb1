"""A record's values as rows: a column of JSON is a row for each value in it, bounded in number and depth."""

from __future__ import annotations

from web.pages.record_values import DEPTH_MAX, ROWS_MAX, ROWS_OF_ONE_MAX, Row, rows_of

TYPES = {"id": "text", "rest": "jsonb"}


def test_values_within_json_are_rows_with_their_paths() -> None:
    record = {"id": "a", "rest": {"n": 1.5, "ok": True, "no": None, "deep": {"x": "y", "list": ["p", {"q": 2}]}, "empty": {}}}
    assert rows_of(record, TYPES) == [
        Row("id", (), "text", "a"),
        Row("rest", ("n",), "number", 1.5),
        Row("rest", ("ok",), "boolean", True),
        Row("rest", ("no",), "", None),
        Row("rest", ("deep", "x"), "text", "y"),
        Row("rest", ("deep", "list", "[1]"), "text", "p"),
        Row("rest", ("deep", "list", "[2]", "q"), "number", 2),
        Row("rest", ("empty",), "object", {}),
    ]


def test_what_is_not_nested_stays_a_row_of_its_column() -> None:
    assert rows_of({"rest": {}}, TYPES) == [Row("rest", (), "jsonb", {})]
    assert rows_of({"rest": "•••"}, TYPES) == [Row("rest", (), "jsonb", "•••")]
    assert rows_of({"rest": None, "new": 1}, TYPES) == [Row("rest", (), "jsonb", None), Row("new", (), "", 1)]


def test_rows_and_depth_are_bounded() -> None:
    rows = rows_of({"rest": [*range(ROWS_MAX + 7)]}, TYPES)
    assert len(rows) == ROWS_MAX + 1
    assert (rows[-2].value, rows[-1].left) == (ROWS_MAX - 1, 7)
    rows = rows_of({"rest": {"long": [*range(ROWS_OF_ONE_MAX + 3)], "other": 1}}, TYPES)
    assert [row.left for row in rows if row.left] == [3]
    assert (rows[ROWS_OF_ONE_MAX].path, rows[-1].value) == (("long",), 1), "a long list hides no other value"
    deep: object = "end"
    for n in range(DEPTH_MAX + 3):
        deep = {f"k{n}": deep}
    (row,) = rows_of({"rest": deep}, TYPES)
    assert (len(row.path), row.type) == (DEPTH_MAX, "object")
