"""Values of JSON records that mean one plain value, and texts that are not JSON though they look so."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.datasets.dataset import load_dataset
from pipeline.errors import Unreadable
from tests.support.reading import read_bytes

RECORDS = load_dataset("records")
OID = {"$oid": "60f6d845caa1861dcf1631ae"}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (OID, OID["$oid"]),
        ({"$numberLong": "9007199254740993"}, "9007199254740993"),
        ({"$numberDecimal": "1.50"}, "1.50"),
        ({"$date": "2024-05-31T12:30:00Z"}, "2024-05-31T12:30:00Z"),
        ({"$date": {"$numberLong": "1717158600000"}}, "2024-05-31T12:30:00.000Z"),
        ({"$ref": "all", "$id": OID}, OID["$oid"]),
    ],
)
def test_extended_json_is_unwrapped_and_counted(value: Any, text: str) -> None:
    seen = read_bytes(json.dumps([{"id": 1, "parentId": None, "name": value}, {"id": 2, "name": value}]), RECORDS)
    assert [row[2] for row in seen.rows] == [text, text]
    assert seen.codes() == ["extended_json"]
    assert "name (2 values)" in seen.message("extended_json")


@pytest.mark.parametrize("value", [{"$set": "x"}, {"$oid": 1}, {"$oid": "a", "b": 1}, {"$date": {"$numberLong": "9" * 30}}])
def test_other_objects_are_kept_as_they_are(value: Any) -> None:
    seen = read_bytes(json.dumps([{"id": 1, "parentId": None, "name": value}]), RECORDS)
    assert json.loads(seen.rows[0][2]) == value
    assert seen.findings == []


def test_ids_in_extended_json() -> None:
    seen = read_bytes(json.dumps([{"_id": OID, "parentId": None}, {"_id": {"$oid": "b"}, "parentId": OID}]), RECORDS)
    assert [row[:2] for row in seen.rows] == [(OID["$oid"], None), ("b", OID["$oid"])]


@pytest.mark.parametrize(
    ("parent", "read"),
    [
        ({"id": 1, "name": "a"}, "1"),
        ({"ID": "1"}, "1"),
        ({"link": "https://x", "value": "1"}, "1"),
        ([{"id": 1}], "1"),
        (["1"], "1"),
        ([], None),
        ({"id": None}, None),
    ],
)
def test_a_parent_as_an_object_or_a_list_of_one(parent: Any, read: str | None) -> None:
    seen = read_bytes(json.dumps([{"id": 1, "parentId": None}, {"id": 2, "parentId": parent}]), RECORDS)
    assert [row[1] for row in seen.rows] == [None, read]
    assert set(seen.codes()) == {"parent_object"}


@pytest.mark.parametrize(
    ("parent", "said", "hint"),
    [
        (["1", "2"], "names 2 parents", "only one parent"),
        (False, "false is neither", "write null"),
        ({"href": "/1"}, "neither text nor a whole number", "Write it as text"),
        (1.5, "1.5 is neither", "Write it as text"),
    ],
)
def test_other_parents_are_refused(parent: Any, said: str, hint: str) -> None:
    seen = read_bytes(json.dumps([{"id": 1, "parentId": None}, {"id": 2, "parentId": parent}]), RECORDS)
    ((code, severity, row, column, message, advice),) = seen.findings
    assert (code, severity, row, column) == ("invalid_type", "error", 2, "parentId")
    assert said in message
    assert hint in advice


# --- Against a simple implementation: how a value is wrapped, from the outside, is a word ---

WRAPPED: dict[str, Callable[[Any], Any]] = {
    "r": lambda value: {"$ref": "all", "$id": value},
    "l": lambda value: [value],
    "o": lambda value: {"name": "a", "id": value},
    "p": lambda value: {"_id": value, "href": "/a"},
    "e": lambda value: {"$oid": value},
    "n": lambda value: {"$numberLong": value},
    "t": lambda value: [value, "b"],
    "u": lambda value: {"href": value},
}
SOUND = {"id": r"r*[en]?", "parentId": r"r*l?r*[op]?r*[en]?"}
PARTS = ("", "r", "rr"), ("", "l"), ("", "r"), ("", "o", "p"), ("", "r"), ("", "e", "n")
WAYS = st.tuples(*map(st.sampled_from, PARTS)).map("".join) | st.text("".join(WRAPPED), max_size=4)
VALUES = st.tuples(WAYS, st.sampled_from(["a", "7", 7, None]))


def is_sound(column: str, way: str, leaf: Any) -> bool:
    """Whether a value is an id for certain."""
    fits = {"e": isinstance(leaf, str), "n": leaf is not None}.get(way[-1:], True)
    return fits and bool(re.fullmatch(SOUND[column], way))


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(VALUES, VALUES), min_size=1, max_size=12))
def test_any_wrapped_ids_are_unwrapped_or_refused(records: list[Any]) -> None:
    records = [(("", "top"), ("", None)), *records]  # a first record of lists alone would be a table by columns
    written, expected, refused = [], [], set[tuple[int, str]]()
    for row, record in enumerate(records, 1):
        values = []
        for column, (way, leaf) in zip(SOUND, record, strict=True):
            value = leaf
            for letter in reversed(way):
                value = WRAPPED[letter](value)
            values.append(value)
            if not is_sound(column, way, leaf):
                refused.add((row, column))
        written.append(dict(zip(SOUND, values, strict=True)))
        expected.append(tuple(None if leaf is None else str(leaf) for _, leaf in record))
    seen = read_bytes(json.dumps(written), RECORDS)
    found = {(finding[2], finding[3]) for finding in seen.findings if finding[1] == "error"}
    assert found == refused
    bad = {row for row, _ in refused}
    sound = [(row, values) for row, values in enumerate(expected, 1) if row not in bad]
    assert [seen.rows[row - 1][:2] for row, _ in sound] == [values for _, values in sound]
    if any(re.search("[lop]", way) and is_sound("parentId", way, leaf) for _, (way, leaf) in records):
        assert "parent_object" in seen.codes()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('[{"id": 1, // top\n "parentId": null}]', "line 1: a comment"),
        ('[{"id": 1},\n # no\n {"id": 2}]', "line 2: a comment"),
        ("[{'id': 1, 'parentId': None}]", "single quotes"),
        ('[{"id": 1, "parentId": None}]', "None is Python"),
        ('[{"id": 1, "parentId": undefined}]', "undefined is not JSON"),
        ('[{"id": 1, "parentId": NaN}]', "NaN is not JSON"),
        ('[{"id": 1, "parentId": null,}]', "a comma too many"),
        ('[{"id": 1, "parentId": null},]', "a comma too many"),
        ("{id: 1, parentId: null}", "the key id has no quotes"),
        ('[{"id": "a\nb"}]', "line break"),
        ('callback([{"id": 1}]);', "JSONP"),
        ('/**/ my.cb({"items": []})', "JSONP"),
        ('var all = [{"id": 1}];', "JavaScript"),
        ("export default [\n{id: 1}]", "JavaScript"),
        ('// all of them\n[{"id": 1}]', "comments"),
        ('"[{\\"id\\": 1}]"', "within a string"),
        (")]}',\n[1]", "begins with )]}'"),
    ],
)
@pytest.mark.parametrize("padding", ["", " " * 3000], ids=["short", "long"])
def test_what_only_looks_like_json_is_named(content: str, said: str, padding: str) -> None:
    with pytest.raises(Unreadable) as caught:
        read_bytes(content + padding, RECORDS)
    assert said in str(caught.value)
    assert caught.value.hint


def test_a_mistake_deep_in_a_large_text_is_found_where_it_is() -> None:
    good = json.dumps({"id": "1", "parentId": None, "name": "x" * 1000})
    content = "\n".join([good] * 50 + ["{'id': 2}"] + [good] * 6000)
    with pytest.raises(Unreadable, match="not valid JSON at line 51: text is in single quotes"):
        read_bytes(content, RECORDS)


@pytest.mark.parametrize("content", ["id,parentId\nf(1),\n", '"[id]",parentId,id\n1,,2\n', "id(a),parentId,id\n1,,2\n"])
def test_delimited_texts_are_not_taken_for_json(content: str) -> None:
    assert read_bytes(content, RECORDS).summary.format == "csv"
