"""Files as people have them, and previews of them among all datasets."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import xlsxwriter

from pipeline.contracts.options import ReadOptions
from pipeline.datasets.dataset import Dataset, dataset_names, load_dataset
from pipeline.sandbox.preview_file import preview_among
from pipeline.sandbox.preview_model import ColumnMatch, Preview

Look = Callable[..., Preview]

ORG_CHART: tuple[tuple[object, ...], ...] = (
    ("Staff list of the northern branch",),
    ("As of 1 March 2026",),
    (),
    ("Employee No", "Full name", "Manager", "Job title", "Salary"),
    (1001, "Ada Lind", None, "Director", 9000),
    (1002, "Ben Okafor", 1001, "Head of Sales", 7000),
    (1003, "Cleo Marsh", "Ada Lind", "Head of IT", 7100),
    (1004, "Dan Roy", 1002, "Clerk", 4000),
    (1005, "Eva Stone", "Ben Okafor", "Clerk", 4100),
    (1006, "Finn Hale", "Cleo Marsh", "Admin", 4200),
    (1007, "Gia Park", 1003, "Admin", 4300),
    ("Total", None, None, None, 39700),
)
"""Title rows, a header in row 4, managers partly by name, a row of totals in row 12."""

PRODUCTS = "SKU,Parent SKU,Title,Price\nA-1,,Chairs,\nA-2,A-1,Red chair,19.90\nA-3,A-1,Blue chair,21.50\n"
TAXA = (
    "taxonID\tparentNameUsageID\tscientificName\ttaxonRank\n"
    "1\t\tAnimalia\tkingdom\n2\t1\tChordata\tphylum\n3\t2\tMammalia\tclass\n"
)
ACCOUNTS = "Account ID;Account Name;Parent Account ID\n100;Assets;\n110;Cash;100\n120;Bank;100\n"


def workbook(rows: Sequence[Sequence[object]] = ORG_CHART, **others: Sequence[Sequence[object]]) -> bytes:
    """Return a workbook with the sheet "Staff", and one for each of ``others`` before it."""
    file = io.BytesIO()
    with xlsxwriter.Workbook(file) as book:
        for name, cells in {**others, "Staff": rows}.items():
            sheet = book.add_worksheet(name)
            for line, values in enumerate(cells):
                for column, value in enumerate(values):
                    if value is not None:
                        sheet.write(line, column, value)
    return file.getvalue()


def looker(folder: Path, *others: Dataset) -> Look:
    """Return a function that previews bytes among all datasets, and ``others``."""
    known = (*(load_dataset(name) for name in dataset_names()), *others)

    def look(body: bytes | str, asked: str | None = None, *, is_whole: bool = True, **options: Any) -> Preview:
        (folder / "source").write_bytes(body if isinstance(body, bytes) else body.encode())
        return preview_among(folder / "source", known, ReadOptions(**options), is_whole, "", asked)

    return look


def matched(seen: Preview) -> dict[str, str | None]:
    """Return what each column of the file is suggested to be, and by what: ``parentId by synonym``."""
    return {one.name: told(match) for one, match in zip(seen.columns, seen.matches, strict=True)}


def told(match: ColumnMatch) -> str | None:
    """Return ``parentId by synonym``; None if nothing is suggested."""
    return f"{match.suggested} by {match.by}" if match.suggested is not None else None


def offered(seen: Preview) -> dict[str, Any]:
    """Return the value of the first offer of each option."""
    return {one.option: one.value for one in reversed(seen.offers)}
