"""JSON in which the records are not simply an array or one after the other."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.datasets.dataset import load_dataset
from pipeline.errors import Unreadable
from pipeline.exact_json import loads
from pipeline.read import Limits
from pipeline.read.formats.json_layout import partial_values, path_of, path_text
from tests.support.reading import read_bytes

RECORDS = load_dataset("records")
TWO = [{"id": "1", "parentId": None, "name": "a"}, {"id": "2", "parentId": "1", "name": "b"}]
BARE = [{"parentId": None, "name": "a"}, {"parentId": "1", "name": "b"}]
READ = [("1", None, "a", "{}"), ("2", "1", "b", "{}")]
BY_ID = {"1": BARE[0], "2": BARE[1]}


def lines(*values: Any) -> str:
    return "\n".join(map(json.dumps, values))


def feature(properties: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "Feature", "geometry": {"type": "Point", "coordinates": [1, 2]}, "properties": properties, **more}


LAYOUTS: dict[str, tuple[str, str]] = {
    "arrays in a row": (lines([TWO[0]], [], [TWO[1]]), "Several JSON arrays"),
    "lines with commas": (lines(TWO[0]) + ",\n" + lines(TWO[1]) + ",\n", "commas between the records"),
    "below a key": (lines({"meta": {"n": 2}, "data": {"items": TWO}, "next": None}), "read from data.items"),
    "below a key with a dot": (lines({"a.b": TWO}), r"read from a\.b"),
    "pages": (lines({"items": TWO[:1], "page": 1}, {"items": TWO[1:], "page": 2}), "read from items"),
    "an array of pages": (lines([{"items": TWO[:1]}, {"items": TWO[1:]}]), "read from items"),
    "keyed by id": (lines(BY_ID), "keys of the records"),
    "keyed by id, which is repeated": (lines({"1": TWO[0], "2": TWO[1]}), "keys of the records"),
    "keyed below a key": (lines({"version": 3, "nodes": BY_ID}), "read from nodes. The keys"),
    "a search engine's dump": (lines(*({"_index": "t", "_id": one["id"], "_source": one} for one in TWO)), "'_source'"),
    "a dump with ids outside": (lines(*({"_id": n, "_source": one} for n, one in BY_ID.items())), "'_source'"),
    "a search engine's answer": (
        lines({"took": 1, "hits": {"total": 2, "hits": [{"_id": n, "_source": one} for n, one in BY_ID.items()]}}),
        "read from hits.hits. Each record",
    ),
    "bulk": (lines({"index": {"_id": "1"}}, TWO[0], {"create": {"_index": "t", "_id": "2"}}, BARE[1]), "bulk format"),
    "GeoJSON": (lines({"type": "FeatureCollection", "features": [feature(one) for one in TWO]}), "'properties'"),
    "GeoJSON with ids outside": (lines(*(feature(one, id=n) for n, one in BY_ID.items())), "Not read: geometry"),
    "edges of GraphQL": (lines({"data": {"all": {"edges": [{"cursor": "x", "node": one} for one in TWO]}}}), "'node'"),
}


@pytest.mark.parametrize(("content", "told"), LAYOUTS.values(), ids=LAYOUTS.keys())
def test_a_layout_is_recognised_and_reported(content: str, told: str) -> None:
    seen = read_bytes(content, RECORDS)
    assert seen.rows == READ
    assert seen.codes() == ["json_layout"]
    assert told in seen.message("json_layout")


@pytest.mark.parametrize(("content", "told"), LAYOUTS.values(), ids=LAYOUTS.keys())
def test_a_layout_is_recognised_in_small_pieces(content: str, told: str) -> None:
    assert read_bytes(content, RECORDS, limits=Limits(chunk_bytes=7)).rows == READ


@pytest.mark.parametrize("content", [lines(TWO), lines(*TWO), json.dumps(TWO, indent=2), lines({**TWO[0]})])
def test_plain_records_are_not_reported(content: str) -> None:
    assert read_bytes(content, RECORDS).findings == []


@pytest.mark.parametrize(
    ("document", "at"),
    [
        ({"a": {"rows": TWO}, "b": {"rows": [{"id": 9}]}}, "a.rows"),
        ({"a": [{"rows": [{"id": 9}]}, {"rows": TWO}]}, "a.1.rows"),
        ({"a": {"b.c": TWO}}, r"a.b\.c"),
        ({"id": "x", "parentId": "y", "rows": TWO}, "rows"),
        ([{"id": "x", "rows": TWO[:1]}, {"id": "y", "rows": TWO[1:]}], "rows"),
        ({"byId": {"1": {"name": "a"}, "2": BARE[1]}}, "byId"),
        ({"one": TWO[0], "two": TWO[1]}, "one"),
    ],
)
def test_records_are_where_the_upload_says(document: Any, at: str) -> None:
    rows = read_bytes(json.dumps(document), RECORDS, records_at=at).rows
    assert rows == (READ[:1] if at == "one" else READ)
    assert path_text(path_of(at)) == at


@pytest.mark.parametrize(
    ("content", "said", "hint"),
    [
        (lines({"a": TWO, "b": TWO}), "several places of the document: a, b", "records_at=a"),
        (lines({"data": [{"code": 1}]}), "under the key 'data'", "records_at=data"),
        (lines({"id": 1, "items": [{"id": 2}]}), "lacks the column parentId", 'shape={"children": "items"}'),
        (lines({"items": TWO}, {"error": "gone"}), "nothing under 'items'", "records_at=data.items"),
        (lines({"index": {"_id": "1"}}, TWO[0], {"delete": {"_id": "2"}}), "should say index", "delete"),
        (lines({"items": TWO})[:-20], "middle", "incomplete"),
        (lines(TWO) + lines(TWO[0]), "something follows the array", "array of records"),
    ],
)
def test_what_is_ambiguous_or_broken_is_refused(content: str, said: str, hint: str) -> None:
    with pytest.raises(Unreadable) as caught:
        read_bytes(content, RECORDS)
    assert said in str(caught.value)
    assert hint in caught.value.hint


def test_a_second_list_of_records_far_behind_the_first_is_not_passed_over() -> None:
    many = [{"id": str(n), "parentId": None, "name": "x" * 100} for n in range(1000)]
    with pytest.raises(Unreadable, match="several places"):
        read_bytes(lines({"a": many, "b": TWO}), RECORDS)
    assert len(read_bytes(lines({"a": many, "b": TWO}), RECORDS, records_at="a").rows) == 1000


def test_a_key_that_contradicts_the_id_is_a_finding() -> None:
    seen = read_bytes(lines({"nodes": {"1": TWO[0], "3": TWO[1]}}), RECORDS, records_at="nodes")
    assert [finding[:4] for finding in seen.findings if finding[1] == "error"] == [("malformed_row", "error", 2, "id")]


def test_records_that_are_nested_are_told() -> None:
    seen = read_bytes(lines({"id": 1, "parentId": None, "items": [{"id": 2}]}), RECORDS)
    assert seen.codes() == ["nested_records"]


def test_a_document_is_read_as_a_stream() -> None:
    many = [{"id": str(n), "parentId": None, "name": "x" * 50} for n in range(2000)]
    skipped, small = [["x" * 50] * 2000], Limits(record_bytes=5_000, chunk_bytes=4096)
    content = lines({"meta": 1, "data": {"items": many}, "skipped": skipped})
    assert len(read_bytes(content, RECORDS, limits=small).rows) == 2000
    content = lines({"skipped": skipped, "data": {"items": many}})
    assert len(read_bytes(content, RECORDS, limits=small, records_at="data.items").rows) == 2000
    with pytest.raises(Unreadable) as caught:  # the records begin too far from the beginning to be seen
        read_bytes(content, RECORDS, limits=small)
    assert "records_at" in caught.value.hint


# --- Against a simple implementation ---

PLAIN = st.dictionaries(st.sampled_from(["x", "y", "n.n"]), st.sampled_from(["a", 'q"', "[", None, "é"]), max_size=2)


@given(
    st.lists(PLAIN, min_size=1, max_size=4),
    st.lists(st.sampled_from(["data", "a.b", "0x", "items"]), min_size=1, max_size=3),
    st.sampled_from(["list", "keyed", "edges"]),
    st.integers(1, 40),
)
@settings(max_examples=25, deadline=None)
def test_any_layout_gives_the_same_records(values: list[dict[str, Any]], path: list[str], kind: str, size: int) -> None:
    records = {str(n): {"parentId": None, **one} for n, one in enumerate(values)}
    whole = [{"id": key, **one} for key, one in records.items()]
    inner: Any = {"list": whole, "keyed": records, "edges": [{"node": one} for one in whole]}[kind]
    for key in reversed(path):
        inner = {"before": {"k": [1, "]"]}, key: inner, "after": "}"}
    plain = read_bytes(json.dumps(whole), RECORDS).rows
    wrapped = json.dumps(inner)
    assert read_bytes(wrapped, RECORDS, limits=Limits(chunk_bytes=size)).rows == plain
    assert read_bytes(wrapped, RECORDS, records_at=path_text(tuple(path))).rows == plain


JSON = st.recursive(
    st.none() | st.text(max_size=3) | st.integers(0, 99),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=8,
)


@given(JSON, st.integers(0, 200))
def test_a_partial_reading_is_the_whole_one_cut_off(value: Any, cut: int) -> None:
    def texts(one: Any) -> Any:
        if isinstance(one, dict):
            return {key: texts(inner) for key, inner in one.items()}
        return [texts(inner) for inner in one] if isinstance(one, list) else None if one is None else str(one)

    text = json.dumps(value)
    assert partial_values(text) == [texts(loads(text))]
    partial_values(text[:cut])  # never an error
