"""A file to fill in: the header that a dataset takes, and one row that shows what its types look like."""

from __future__ import annotations

import csv
import io

from pipeline.datasets.dataset import Dataset
from pipeline.datasets.table import Column

_EXAMPLES = (  # by how PostgreSQL spells the type
    (("smallint", "int", "bigint", "serial"), "1"),
    (("numeric", "decimal", "real", "double", "float", "money"), "1.50"),
    (("bool",), "true"),
    (("timestamp",), "2026-01-31T12:00:00Z"),
    (("date",), "2026-01-31"),
    (("time",), "12:00:00"),
    (("interval",), "1 day"),
    (("uuid",), "123e4567-e89b-12d3-a456-426614174000"),
    (("json",), '{"key": "value"}'),
    (("bytea",), "\\x00"),
)


def template_rows(dataset: Dataset) -> tuple[list[str], list[str]]:
    """The header and the example: a root, so it has no parent. What takes a file's other columns is no column to fill in."""
    derived = {dataset.rest} | ({dataset.parent} if dataset.shape.path_separator else set())
    shown = [column for column in dataset.columns if column.name not in derived]
    return [column.name for column in shown], [_example(column, dataset) for column in shown]


def _example(column: Column, dataset: Dataset) -> str:
    if column.name == dataset.parent:
        return ""
    if column.name == dataset.key and column.type == "text":
        return "1"
    if column.type.endswith("[]"):
        return "{}"
    return next((value for starts, value in _EXAMPLES if column.type.startswith(starts)), "text")


def as_csv(dataset: Dataset) -> bytes:
    """The template as a spreadsheet or an editor opens it."""
    text = io.StringIO(newline="")
    csv.writer(text).writerows(template_rows(dataset))
    return text.getvalue().encode()


def as_xlsx(dataset: Dataset) -> bytes:
    """The template as a workbook whose cells are text, so that no spreadsheet makes dates or numbers of ids."""
    from xlsxwriter import Workbook  # the command line has no use for it otherwise

    file = io.BytesIO()
    with Workbook(file, {"in_memory": True}) as book:
        text, bold = book.add_format({"num_format": "@"}), book.add_format({"bold": True, "num_format": "@"})
        sheet = book.add_worksheet(dataset.name[:31])
        header, row = template_rows(dataset)
        sheet.set_column(0, max(len(header) - 1, 0), 18, text)
        for column, (name, value) in enumerate(zip(header, row, strict=True)):
            sheet.write_string(0, column, name, bold)
            if value:
                sheet.write_string(1, column, value, text)
        sheet.freeze_panes(1, 0)
    return file.getvalue()


FORMS = {"csv": as_csv, "xlsx": as_xlsx}
