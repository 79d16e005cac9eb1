"""Ids in Parquet: what a data frame keeps as floating-point numbers is read if it is whole for certain."""

from __future__ import annotations

import io
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.datasets.dataset import load_dataset
from pipeline.errors import Unreadable
from pipeline.read.formats.parquet_ids import whole_texts
from tests.support.reading import Seen, read_bytes

RECORDS = load_dataset("records")
NAN = float("nan")


def read_parents(parents: pa.Array) -> Seen:
    sink = io.BytesIO()
    ids = pa.array([str(n) for n in range(1, len(parents) + 1)])
    pq.write_table(pa.table({"id": ids, "parentId": parents}), sink)
    return read_bytes(sink.getvalue(), RECORDS)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([None, 1.0, 2.0], pa.float64()),
        ([NAN, 1.0, 2.0], pa.float64()),
        ([None, 1.0, 2.0], pa.float32()),
        ([None, Decimal("1.00"), Decimal("2.00")], pa.decimal128(10, 2)),
        ([None, 1.0, 2.0], pa.dictionary(pa.int8(), pa.float64())),
    ],
)
def test_whole_numbers_are_read_and_reported(values: list[Any], kind: pa.DataType) -> None:
    seen = read_parents(pa.array(values, kind))
    assert [row[1] for row in seen.rows] == [None, "1", "2"]
    assert seen.codes() == ["whole_numbers"]


@pytest.mark.parametrize(
    ("values", "kind", "said"),
    [
        ([None, 1.5], pa.float64(), "row 2 is 1.5"),
        ([None, 2.0**53], pa.float64(), "row 2 is 9007199254740992"),
        ([None, 2.0**24], pa.float32(), "row 2 is 16777216"),
        ([None, float("inf")], pa.float64(), "row 2 is inf"),
        ([None, Decimal("1.5")], pa.decimal128(10, 2), "row 2 is 1.50"),
        ([None, ["1"]], pa.list_(pa.string()), "one parent"),
        ([None, {"id": 1}], pa.struct([("id", pa.int64())]), "one parent"),
        ([None, b"1"], pa.binary(), "decode"),
    ],
)
def test_others_are_refused_with_what_to_do(values: list[Any], kind: pa.DataType, said: str) -> None:
    with pytest.raises(Unreadable) as caught:
        read_parents(pa.array(values, kind))
    assert caught.value.code == "invalid_type"
    assert said in f"{caught.value} {caught.value.hint}"


@pytest.mark.parametrize(
    "kind", [pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string()), pa.decimal128(9, 0)]
)
def test_other_types_of_text_and_whole_numbers_need_no_report(kind: pa.DataType) -> None:
    value = Decimal(1) if pa.types.is_decimal(kind) else "1"
    seen = read_parents(pa.array([None, value], pa.string() if kind == pa.string_view() else kind).cast(kind))
    assert [row[1] for row in seen.rows] == [None, "1"]
    assert seen.findings == []


@given(st.lists(st.none() | st.floats() | st.integers(-(2**55), 2**55).map(float), max_size=5))
@settings(max_examples=80)
def test_texts_are_those_of_whole_numbers(values: list[float | None]) -> None:
    given_values = [None if value is None or value != value else value for value in values]
    whole = all(value is None or (abs(value) < 2**53 and value == int(value)) for value in given_values)
    column = pa.array(values, pa.float64())
    if not whole:
        with pytest.raises(Unreadable):
            whole_texts(column, "id", 1)
        return
    assert whole_texts(column, "id", 1).to_pylist() == [None if value is None else str(int(value)) for value in given_values]
