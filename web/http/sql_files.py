"""Answers of SQL queries as JSON, CSV, Parquet and Arrow."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any, Literal

from flask import Response

from pipeline.exact_json import ExactNumber
from pipeline.warehouse.query import Answer
from web.http.responses import CONTENT_TYPES, as_download, as_text, safe_cell
from web.http.table_streams import BATCH_ROWS, arrow_stream

if TYPE_CHECKING:
    import pyarrow as pa


def as_file(answer: Answer, kind: Literal["csv", "parquet", "arrow"], *, for_people: bool = False) -> Response:
    """An answer as a download. ``for_people``: it may end up in a spreadsheet, which must not take a value for a formula."""
    data = _csv(answer, for_people) if kind == "csv" else _parquet(answer) if kind == "parquet" else _arrow_stream(answer)
    response = as_download([data], f"query.{kind}", CONTENT_TYPES[kind], len(data))
    response.headers["X-Truncated"] = "true" if answer.truncated else "false"
    return response


def shown(answer: Answer) -> dict[str, Any]:
    """An answer as the API shows it."""
    return {
        "columns": [{"name": column.name, "type": column.type} for column in answer.columns],
        "rows": answer.rows,
        "truncated": answer.truncated,
        "seconds": round(answer.seconds, 4),
    }


def _csv(answer: Answer, for_people: bool) -> bytes:
    """NULL is an empty field, as in the files that come in."""
    tamed = safe_cell if for_people else lambda value: value
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow([tamed(column.name) for column in answer.columns])
    writer.writerows([[None if value is None else tamed(as_text(value)) for value in row] for row in answer.rows])
    return text.getvalue().encode()


def _parquet(answer: Answer) -> bytes:
    import pyarrow.parquet as pq

    sink = io.BytesIO()
    pq.write_table(_table(answer), sink, compression="zstd")
    return sink.getvalue()


def _arrow_stream(answer: Answer) -> bytes:
    table = _table(answer)
    return b"".join(arrow_stream(table.schema, table.to_batches(max_chunksize=BATCH_ROWS)))


def _table(answer: Answer) -> pa.Table:
    """Columns that Arrow can type by their values are typed; what it cannot is text."""
    import pyarrow as pa

    columns = [_arrow([row[at] for row in answer.rows]) for at in range(len(answer.columns))]
    names = [f"{column.name}_{at}" if at != _first(answer, at) else column.name for at, column in enumerate(answer.columns)]
    return pa.table(dict(zip(names, columns, strict=True)))


def _first(answer: Answer, at: int) -> int:
    """Where the name of a column appears first: neither Parquet nor people can tell two columns of one name apart."""
    return [column.name for column in answer.columns].index(answer.columns[at].name)


def _has_exact_number(value: Any) -> bool:
    """A list that came from JSON has a number that Arrow's doubles might change."""
    return isinstance(value, list) and any(isinstance(one, ExactNumber | dict) or _has_exact_number(one) for one in value)


def _arrow(values: list[Any]) -> Any:
    import pyarrow as pa

    if any(isinstance(value, dict | ExactNumber) or _has_exact_number(value) for value in values):
        return pa.array([None if value is None else as_text(value) for value in values], pa.string())
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError):
        return pa.array([None if value is None else as_text(value) for value in values], pa.string())
