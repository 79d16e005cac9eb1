"""Export records of the warehouse as a file, page by page along the index (keyset pagination).

Each page is a query of its own, so an export of any size, however slowly it is read, costs the server the memory of one page,
and PostgreSQL neither a connection nor a long-lived snapshot. A record is as it was when its page was read. Arrow is imported
when the first file needs it: most processes never do.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from flask import Response

from pipeline.datasets.dataset import Dataset
from pipeline.datasets.table import Column
from pipeline.warehouse.query import Page
from web.app_context import app_context
from web.http.problems import Problem
from web.http.responses import CONTENT_TYPES, as_download, as_text, json_bytes
from web.http.table_streams import Sink, arrow_stream

if TYPE_CHECKING:
    import pyarrow as pa

FIRST_RECORDS, MOST_RECORDS = 100, 2_000
PAGE_BYTES = 4 << 20
"""The approximate size of a page: a record may have 4 MiB or forty bytes."""

SAMPLED = 20

Pages = Callable[[str | None, int], Page]
"""Return the page of so many records after a cursor; None: the first page."""

Records = Iterator[list[dict[str, Any]]]


def export(dataset: Dataset, form: str, pages: Pages) -> Response:
    """Return all records of the pages as csv, json, ndjson, parquet or arrow, with the columns of an upload to the dataset.

    Raises Problem if too many exports are running.
    """
    places = app_context().exports
    if not places.acquire(blocking=False):
        raise Problem("busy", "Too many exports at the same time. Try again in a moment.")
    try:
        first = pages(None, FIRST_RECORDS)  # an error is answered before a byte is sent
        chunks = WRITERS[form](dataset.shown_columns, _all(first, pages))
        answer = as_download(chunks, f"{dataset.name}.{form}", CONTENT_TYPES[form])
    except BaseException:
        places.release()
        raise
    answer.call_on_close(places.release)
    return answer


def _all(page: Page, pages: Pages) -> Records:
    yield page.items
    while page.next_cursor is not None:
        page = pages(page.next_cursor, _next_limit(page.items))
        yield page.items


def _next_limit(seen: list[dict[str, Any]]) -> int:
    """Return how many records to read next, if they are as large as those before."""
    sample = seen[::SAMPLED]
    each = len(json_bytes(sample)) // len(sample)
    return min(max(PAGE_BYTES // max(each, 1), 1), MOST_RECORDS)


def _csv(columns: tuple[Column, ...], records: Records) -> Iterator[bytes]:
    """Yield CSV. Null is an empty field, as in uploaded files."""
    names = [column.name for column in columns]
    header = [names]
    for page in records:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\r\n")
        writer.writerows(header)
        writer.writerows([None if record[name] is None else as_text(record[name]) for name in names] for record in page)
        header = []
        yield text.getvalue().encode()


def _ndjson(columns: tuple[Column, ...], records: Records) -> Iterator[bytes]:
    for page in records:
        yield b"".join(_object(columns, record) + b"\n" for record in page)


def _json(columns: tuple[Column, ...], records: Records) -> Iterator[bytes]:
    before = b"[\n"
    for page in records:
        yield before + b",\n".join(_object(columns, record) for record in page)
        before = b",\n" if page else before
    yield b"\n]\n"


def _object(columns: tuple[Column, ...], record: dict[str, Any]) -> bytes:
    return json_bytes({column.name: record[column.name] for column in columns})


def _parquet(columns: tuple[Column, ...], records: Records) -> Iterator[bytes]:
    import pyarrow.parquet as pq

    schema, sink = _schema(columns), Sink()
    with pq.ParquetWriter(sink, schema, compression="zstd") as writer:
        for page in records:
            writer.write_batch(_batch(schema, page))
            yield sink.taken()
    yield sink.taken()


def _arrow(columns: tuple[Column, ...], records: Records) -> Iterator[bytes]:
    schema = _schema(columns)
    return arrow_stream(schema, (_batch(schema, page) for page in records))


WRITERS: dict[str, Callable[[tuple[Column, ...], Records], Iterator[bytes]]] = {
    "csv": _csv,
    "json": _json,
    "ndjson": _ndjson,
    "parquet": _parquet,
    "arrow": _arrow,
}


def _schema(columns: tuple[Column, ...]) -> pa.Schema:
    import pyarrow as pa

    return pa.schema([pa.field(column.name, _arrow_type(column.type), not column.required) for column in columns])


def _arrow_type(type_: str) -> pa.DataType:
    """Return the Arrow type of a column of the table; text if Arrow has no such type."""
    import pyarrow as pa

    plain = {
        **{"smallint": pa.int16(), "int": pa.int32(), "integer": pa.int32(), "bigint": pa.int64()},
        **{"real": pa.float32(), "float": pa.float64(), "double precision": pa.float64(), "boolean": pa.bool_()},
        **{"date": pa.date32(), "timestamp": pa.timestamp("us"), "timestamptz": pa.timestamp("us", "UTC")},
    }
    if number := re.fullmatch(r"(?:numeric|decimal)\((\d+)(?:, *(\d+))?\)", type_):
        precision, scale = int(number[1]), int(number[2] or 0)
        return pa.decimal128(precision, scale) if precision <= 38 else pa.string()
    return plain.get(type_, pa.string())


def _batch(schema: pa.Schema, page: list[dict[str, Any]]) -> pa.RecordBatch:
    import pyarrow as pa

    return pa.record_batch([_column(field, [record[field.name] for record in page]) for field in schema], schema=schema)


def _column(field: pa.Field, values: list[Any]) -> pa.Array:
    import pyarrow as pa

    if pa.types.is_string(field.type):
        values = [None if value is None else as_text(value) for value in values]
    return pa.array(values, field.type)
