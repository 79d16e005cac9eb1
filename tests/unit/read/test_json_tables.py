"""JSON that is a table, a page of several, or no records at all."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.datasets.dataset import load_dataset
from pipeline.errors import Unreadable
from pipeline.read import Limits
from tests.support.reading import read_bytes

RECORDS = load_dataset("records")
NAMES = ["id", "parentId", "name"]
TWO = [{"id": "1", "parentId": None, "name": "a"}, {"id": "2", "parentId": "1", "name": "b"}]
ARRAYS = [["1", None, "a"], ["2", "1", "b"]]
READ = [("1", None, "a", "{}"), ("2", "1", "b", "{}")]

TABLES: dict[str, tuple[str, str]] = {
    "an array of arrays": (json.dumps([NAMES, *ARRAYS]), "The records are arrays; the first"),
    "arrays below a key": (json.dumps({"n": 2, "rows": [NAMES, *ARRAYS]}), "read from rows"),
    "an array a line": ("\n".join(map(json.dumps, [NAMES, *ARRAYS])), "The records are arrays; the first"),
    "pandas, split": (json.dumps({"columns": NAMES, "index": [0, 1], "data": ARRAYS}), "'columns' has"),
    "pandas, index": (json.dumps({"0": TWO[0], "1": TWO[1]}), "number them"),
    "Google Sheets": (json.dumps({"range": "A1", "majorDimension": "ROWS", "values": [NAMES, *ARRAYS]}), "read from values"),
}


@pytest.mark.parametrize(("content", "said"), TABLES.values(), ids=TABLES)
@pytest.mark.parametrize("chunk_bytes", [7, 1 << 19])
def test_a_table_in_json_is_read_and_reported(content: str, said: str, chunk_bytes: int) -> None:
    seen = read_bytes(content, RECORDS, limits=Limits(chunk_bytes=chunk_bytes))
    assert seen.rows == READ
    assert seen.codes() == ["json_layout"] and said in seen.message("json_layout")


def test_values_at_the_end_of_an_array_may_only_be_left_out_by_google_sheets() -> None:
    values = [NAMES, ["1", "", "a"], ["2", "1"]]
    google = read_bytes(json.dumps({"majorDimension": "ROWS", "values": values}), RECORDS)
    assert [row[:3] for row in google.rows] == [("1", None, "a"), ("2", "1", None)]
    other = read_bytes(json.dumps(values), RECORDS)
    assert [row[0] for row in other.rows] == ["1"] and other.codes("error") == ["malformed_row"]


def test_records_at_says_where_arrays_are() -> None:
    content = json.dumps({"a": {"t": [NAMES, *ARRAYS]}, "b": {"t": [["id", "parentId"], ["9", None]]}})
    with pytest.raises(Unreadable, match="several places"):
        read_bytes(content, RECORDS)
    assert read_bytes(content, RECORDS, records_at="a.t").rows == READ


REFUSED: dict[str, tuple[Any, str, str]] = {
    "arrays without names": ([["1", None], ["2", "1"]], "does not have the names", '["id", "parentId", ...]'),
    "a name twice": ([["id", "parentId", "id"], ["1", None, "2"]], "each once; 'id'", "name of its own"),
    "an array a column": ({"id": ["1", "2"], "parentId": [None, "1"]}, "one array for each column", "orient='records'"),
    "an object a column": ({"id": {"0": 1, "1": 2}, "parentId": {"0": None}}, "one object for each column", "orient='records'"),
    "an error": ({"error": {"code": 401, "message": "Unauthorized."}}, "an error: Unauthorized.", "again"),
    "errors": ({"errors": [{"title": "Not allowed"}], "data": None}, "an error: Not allowed.", "again"),
    "a message": ({"message": "Not Found", "status": 404}, "an error: Not Found.", "again"),
    "a notebook": ({"cells": [], "nbformat": 4}, "a Jupyter notebook", "to_csv"),
    "TopoJSON": ({"type": "Topology", "objects": {}, "arcs": []}, "TopoJSON", "GeoJSON"),
    "a tree without ids": ({"name": "a", "children": [{"name": "b", "children": [{"name": "c"}]}]}, "is a tree", "children"),
    "JSON:API": ([{"id": "1", "type": "t", "attributes": {}, "relationships": {}}], "lacks the column", "jq"),
}


@pytest.mark.parametrize(("document", "said", "hint"), REFUSED.values(), ids=REFUSED)
def test_json_that_is_no_list_of_records_is_named(document: Any, said: str, hint: str) -> None:
    with pytest.raises(Unreadable) as caught:
        read_bytes(json.dumps(document), RECORDS)
    assert said in str(caught.value) and hint in caught.value.hint
    assert '"levels"' not in caught.value.hint


PAGES: dict[str, tuple[dict[str, Any], str]] = {
    "OData": ({"value": TWO, "@odata.nextLink": "https://x/?$skip=2"}, "'@odata.nextLink'"),
    "a token": ({"items": TWO, "nextPageToken": "abc"}, "'nextPageToken'"),
    "Django": ({"count": 5, "next": "https://x/?page=2", "previous": None, "results": TWO}, "'next'"),
    "Laravel": ({"data": TWO, "meta": {"total": 50, "last_page": 25}}, "50 records, and 2"),
    "GraphQL": ({"data": {"all": {"nodes": TWO, "pageInfo": {"hasNextPage": True}}}}, "'hasNextPage'"),
    "HAL": ({"_embedded": {"all": TWO}, "_links": {"next": {"href": "https://x"}}}, "'next'"),
    "a search": ({"hits": {"total": {"value": 1000}, "hits": [{"_id": "1", "_source": TWO[0]}]}}, "1,000 records, and 1"),
    "Salesforce": ({"totalSize": 2, "done": False, "records": TWO}, "'done'"),
}


@pytest.mark.parametrize(("document", "said"), PAGES.values(), ids=PAGES)
def test_one_page_of_several_is_a_warning(document: dict[str, Any], said: str) -> None:
    assert said in read_bytes(json.dumps(document), RECORDS).message("incomplete_file")


@pytest.mark.parametrize(
    "document",
    [
        {"value": TWO, "@odata.nextLink": None},
        {"items": TWO, "next": "", "count": 2, "total": 2},
        {"data": TWO, "meta": {"total": 2, "page": 1}, "links": {"self": "https://x", "next": None}},
        {"_embedded": {"all": TWO}, "_links": {"next": {"href": None}}},
        {"records": TWO, "done": True, "hasMore": False},
    ],
)
def test_the_last_page_is_no_warning(document: dict[str, Any]) -> None:
    assert read_bytes(json.dumps(document), RECORDS).codes() == ["json_layout"]


def test_all_pages_together_are_no_warning() -> None:
    pages = [{"value": TWO[:1], "next": "2", "total": 2}, {"value": TWO[1:], "total": 2}]
    assert read_bytes("\n".join(map(json.dumps, pages)), RECORDS).codes() == ["json_layout"]
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for number, page in enumerate(pages):
            archive.writestr(f"{number}.json", json.dumps(page))
    assert "incomplete_file" not in read_bytes(packed.getvalue(), RECORDS).codes()


VALUES: dict[str, tuple[str, str, str]] = {
    "DynamoDB": (
        '{"Items":[{"id":{"N":"1"},"parentId":{"NULL":true},"name":{"S":"a"}},{"id":{"N":"2"},"parentId":{"N":"1"},"name":{"S":"b"}}]}',
        "extended_json",
        "DynamoDB",
    ),
    "SPARQL": (
        '{"results":{"bindings":[{"id":{"type":"uri","value":"1"},"name":{"type":"literal","value":"a"}},'
        '{"id":{"type":"uri","value":"2"},"parentId":{"type":"uri","value":"1"},"name":{"type":"literal","value":"b"}}]}}',
        "extended_json",
        "SPARQL",
    ),
    "numbers of a data frame": (
        '[{"id":1.0,"parentId":null,"name":"a"},{"id":2,"parentId":1.0,"name":"b"}]',
        "whole_numbers",
        "id (1 value), parentId (1 value)",
    ),
    "a mark between records": (
        '{"id":1,"parentId":null,"name":"a"}\n\ufeff{"id":2,"parentId":1,"name":"b"}',
        "unusual_format",
        "Byte order marks",
    ),
    "a text sequence": (
        '\x1e{"id":1,"parentId":null,"name":"a"}\n\x1e{"id":2,"parentId":1,"name":"b"}\n',
        "unusual_format",
        "record separators",
    ),
}


@pytest.mark.parametrize(("content", "code", "said"), VALUES.values(), ids=VALUES)
def test_values_that_mean_a_plain_one_are_read_and_reported(content: str, code: str, said: str) -> None:
    seen = read_bytes(content, RECORDS)
    assert seen.rows == READ
    assert said in seen.message(code)


@pytest.mark.parametrize("value", ["1.5", "1e3", "-1.50"])
def test_a_number_that_is_not_whole_is_no_id(value: str) -> None:
    assert "invalid_type" in read_bytes(f'[{{"id":{value},"parentId":null}}]', RECORDS).codes("error")


TEXT = st.none() | st.text(max_size=4)


@given(
    st.lists(st.tuples(st.text("ab1", min_size=1), TEXT, TEXT), min_size=1, max_size=5), st.integers(1, 60), st.integers(0, 2)
)
@settings(max_examples=30, deadline=None)
def test_arrays_give_the_same_records_as_objects(rows: list[tuple[Any, ...]], size: int, kind: int) -> None:
    plain = read_bytes(json.dumps([dict(zip(NAMES, row, strict=True)) for row in rows]), RECORDS)
    arrays = [NAMES, *map(list, rows)]
    written = [json.dumps(arrays), "\n".join(map(json.dumps, arrays)), json.dumps({"columns": NAMES, "data": arrays[1:]})][kind]
    seen = read_bytes(written, RECORDS, limits=Limits(chunk_bytes=size))
    assert seen.rows == plain.rows
    assert seen.codes("error") == plain.codes("error")
