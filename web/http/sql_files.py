"""Write the results of SQL queries as JSON, CSV, Parquet, Arrow and Excel workbooks."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any, Literal

from flask import Response

from pipeline.exact_json import ExactNumber
from pipeline.spreadsheet_cells import safe_cell
from pipeline.warehouse.query import Answer
from web.http.responses import CONTENT_TYPES, as_download, as_text
from web.http.sql_workbooks import workbook
from web.http.table_streams import BATCH_ROWS, arrow_stream

if TYPE_CHECKING:
    import pyarrow as pa


def as_file(answer: Answer, kind: Literal["csv", "parquet", "arrow", "xlsx"], *, for_people: bool = False) -> Response:
    """Return a result as a download. ``for_people``: cells that a spreadsheet would run as formulas are made safe."""
    is_cut = answer.truncated
    if kind == "xlsx":
        data, is_cut_here = workbook(answer)
        is_cut |= is_cut_here
    else:
        data = _csv(answer, for_people) if kind == "csv" else _parquet(answer) if kind == "parquet" else _arrow_stream(answer)
    response = as_download([data], f"query.{kind}", CONTENT_TYPES[kind], len(data))
    response.headers["X-Truncated"] = "true" if is_cut else "false"
    return response


def shown(answer: Answer) -> dict[str, Any]:
    """Return a result as the API shows it."""
    return {
        "columns": [{"name": column.name, "type": column.type} for column in answer.columns],
        "rows": answer.rows,
        "truncated": answer.truncated,
        "seconds": round(answer.seconds, 4),
    }


def _csv(answer: Answer, for_people: bool) -> bytes:
    """Return a result as CSV. NULL is an empty field, as in uploaded files."""
    as_cell = safe_cell if for_people else lambda value: value
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow([as_cell(column.name) for column in answer.columns])
    writer.writerows([[None if value is None else as_cell(as_text(value)) for value in row] for row in answer.rows])
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
    """Return a result as an Arrow table. Columns that Arrow cannot type by their values are text."""
    import pyarrow as pa

    columns = [_arrow([row[at] for row in answer.rows]) for at in range(len(answer.columns))]
    names = [f"{column.name}_{at}" if at != _first(answer, at) else column.name for at, column in enumerate(answer.columns)]
    return pa.table(dict(zip(names, columns, strict=True)))


def _first(answer: Answer, at: int) -> int:
    """Return where the column's name appears first: Parquet does not allow two columns with one name."""
    return [column.name for column in answer.columns].index(answer.columns[at].name)


def _has_exact_number(value: Any) -> bool:
    """Return whether a list from JSON has a number that Arrow's doubles might change."""
    return isinstance(value, list) and any(isinstance(one, ExactNumber | dict) or _has_exact_number(one) for one in value)


def _arrow(values: list[Any]) -> Any:
    import pyarrow as pa

    if any(isinstance(value, dict | ExactNumber) or _has_exact_number(value) for value in values):
        return pa.array([None if value is None else as_text(value) for value in values], pa.string())
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError):
        return pa.array([None if value is None else as_text(value) for value in values], pa.string())
