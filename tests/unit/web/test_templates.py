"""Templates escape everything, and hold nothing that the Content-Security-Policy would have to allow."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.spreadsheet_cells import safe_cell

WEB = Path(__file__).resolve().parents[3] / "web"
TEMPLATES = sorted((WEB / "templates").glob("**/*.html"))
FORBIDDEN = {
    "a value as markup": r"\|\s*safe\b|autoescape|Markup\(",
    "a script within the page": r"<script(?![^>]*\bsrc=)",
    "a style within the page": r"<style|\sstyle\s*=",
    "a handler": r"\son[a-z]+\s*=\s*[\"']",
    "something from elsewhere": r"(?:src|href|action)\s*=\s*[\"'](?:https?:)?//",
    "an address that runs": r"javascript:",
}


@pytest.mark.parametrize("what", FORBIDDEN)
@pytest.mark.parametrize("file", TEMPLATES, ids=lambda file: file.name)
def test_no_template_has(file: Path, what: str) -> None:
    assert re.findall(FORBIDDEN[what], file.read_text(encoding="utf-8")) == []


def test_no_code_makes_markup_of_a_text() -> None:
    made = {
        str(file.relative_to(WEB))
        for file in WEB.rglob("*.py")
        if re.search(r"Markup\(|render_template_string", file.read_text())
    }
    assert made <= {"pages/formatting.py"}, "where each piece is escaped by hand"
    assert len(TEMPLATES) > 10


@given(st.lists(st.text(), min_size=1, max_size=5))
def test_no_cell_that_a_spreadsheet_opens_is_a_formula(values: list[str]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerow([safe_cell(value) for value in values])
    (row,) = csv.reader(io.StringIO(text.getvalue(), newline=""))
    for cell, value in zip(row, values, strict=True):
        start = cell.lstrip(" \xa0")[:1]
        is_number = re.fullmatch(r"[+-]?[0-9]+([.,][0-9]+)?", cell)
        assert is_number or start not in ("=", "+", "-", "@", "\t", "\r", "\n"), value
        assert cell in (value, "'" + value)
