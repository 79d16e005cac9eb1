"""The beginning of a JSON text, cut to complete records."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import Unreadable
from pipeline.sandbox.json_beginning import whole_values

RECORDS = [{"id": str(n), "tags": ["a]", "}"], "x": {"y": '"'}} for n in range(6)]


def wrapped(records: Any, kind: str) -> Any:
    return {
        "array": records,
        "below": {"meta": {"n": {}}, "data": {"items": records}},
        "keyed": {one["id"]: one for one in records},
    }[kind]


@pytest.mark.parametrize("kind", ["array", "below", "keyed"])
@given(cut=st.integers(0, 60))
@settings(max_examples=30)
def test_whatever_is_cut_off_the_records_before_are_whole(kind: str, cut: int) -> None:
    text = json.dumps(wrapped(RECORDS, kind))
    found = json.loads(whole_values(text[: len(text) - cut]))
    kept = found if kind == "array" else found["data"]["items"] if kind == "below" else list(found.values())
    assert kept == RECORDS[: len(kept)]
    assert len(kept) >= 3


def test_lines_are_cut_to_whole_ones() -> None:
    text = "\n".join(map(json.dumps, RECORDS))
    assert [json.loads(line) for line in whole_values(text[:-3]).splitlines()] == RECORDS[:-1]


@pytest.mark.parametrize("text", ['[{"id": 1', "[", '{"a', "[]]"[:1]])
def test_without_a_whole_record_there_is_nothing_to_show(text: str) -> None:
    with pytest.raises(Unreadable, match="too long to be shown"):
        whole_values(text)
