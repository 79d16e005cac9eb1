"""Outlines of workbooks: groups of rows, and cells that are indented."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import pytest
import xlsxwriter
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import Unreadable
from tests.support.shapes import Shaped, shaped
from tests.support.workbooks import header, sheet_xml, text_cell, xml_book

GROUPS: dict[str, Any] = {"kind": "outline", "excel": "groups"}
INDENT: dict[str, Any] = {"kind": "outline", "excel": "indent", "column": "name"}
TREE = {"1": None, "1.1": "1", "1.1.1": "1.1", "1.2": "1"}
DEPTHS = (0, 1, 2, 1)


def book(depths: Sequence[int], *, below: bool | None = None, indent: int = 0) -> bytes:
    """A workbook of records a, b, ... at these levels: groups of rows, or cells indented by ``indent`` a level."""
    sink = io.BytesIO()
    with xlsxwriter.Workbook(sink) as file:
        sheet = file.add_worksheet()
        if below is not None:
            sheet.outline_settings(symbols_below=below)
        sheet.write_row(0, 0, ["x", "name"])
        for at, depth in enumerate(depths, 1):
            form = file.add_format({"indent": depth * indent}) if indent else None
            sheet.write_row(at, 0, ["1"])
            sheet.write_string(at, 1, chr(96 + at), form)
            if not indent:
                sheet.set_row(at, None, None, {"level": depth})
    return sink.getvalue()


def told(found: Shaped) -> list[tuple[str, int | None]]:
    return [(code, row) for code, row in found.findings if code != "outline_direction"]


def test_groups_belong_to_the_row_above_if_the_sheet_says_so() -> None:
    found = shaped(book(DEPTHS, below=False), GROUPS)
    assert (found.parents, [row[4] for row in found.rows], found.findings) == (TREE, ["a", "b", "c", "d"], [])
    assert "\x02outline level" not in found.summary.columns


def test_the_direction_is_told_where_only_one_makes_sense() -> None:
    above, below = shaped(book(DEPTHS), GROUPS), shaped(book(DEPTHS[::-1]), GROUPS)
    assert [row[2:] for row in below.rows] == [
        ("1.1", "1", "a"), ("1.2.1", "1.2", "b"), ("1.2", "1", "c"), ("1", None, "d")
    ]  # fmt: skip
    assert above.parents == TREE
    assert [found.findings for found in (above, below)] == [[("outline_direction", None)]] * 2
    assert ["above them" in above.messages[0], "below them" in below.messages[0]] == [True, True]


def test_a_sheet_that_could_be_read_in_both_directions_is_refused_until_one_is_said() -> None:
    both = book((0, 1, 0))
    with pytest.raises(Unreadable, match="above them or to the one below them cannot be told") as refused:
        shaped(both, GROUPS)
    assert '"parents": "above"' in refused.value.hint
    assert shaped(both, {**GROUPS, "parents": "above"}).parents == {"1": None, "1.1": "1", "2": None}
    assert [row[3] for row in shaped(both, {**GROUPS, "parents": "below"}).rows] == [None, "2", None]


@pytest.mark.parametrize("unit", [1, 2])
def test_cells_that_are_indented(unit: int) -> None:
    found = shaped(book(DEPTHS, indent=unit), INDENT)
    assert (found.parents, [row[4] for row in found.rows], found.findings) == (TREE, ["a", "b", "c", "d"], [])


def test_rows_without_a_number_and_cells_without_an_address_have_levels_too() -> None:
    rows = "".join(f'<row outlineLevel="{level}">{text_cell(name)}</row>' for level, name in ((0, "a"), (1, "b")))
    found = shaped(xml_book(sheet_xml(header("name") + rows)), {**GROUPS, "column": "name"})
    assert found.parents == {"1": None, "1.1": "1"}


def test_skipped_rows_and_cleaning_go_with_levels() -> None:
    clean = {"skip_rows": [3], "case": "upper", "null_values": ["0", "1"]}
    found = shaped(book((0, 0, 1, 1), below=False), GROUPS, clean=clean)
    assert [row[2:] for row in found.rows] == [("1", None, "A"), ("1.1", "1", "C"), ("1.2", "1", "D")]


def test_what_has_no_levels_is_refused_with_what_to_do() -> None:
    with pytest.raises(Unreadable, match="no rows are grouped"):
        shaped(book((0, 0)), GROUPS)
    with pytest.raises(Unreadable, match="no cell of the column name is indented"):
        shaped(book((0, 1)), INDENT)
    with pytest.raises(Unreadable, match="from an Excel workbook, and the file is none"):
        shaped("x,name\n1,a\n", GROUPS)
    assert told(shaped(book((0, 2, 1), below=False), GROUPS)) == [("level_gap", 2)]


def test_a_workbook_with_groups_and_without_parents_is_told_of_the_shape() -> None:
    with pytest.raises(Unreadable) as refused:
        shaped(book(DEPTHS), {})
    assert '"excel": "groups"' in refused.value.hint


@settings(max_examples=15, deadline=None)
@given(steps=st.lists(st.integers(-2, 1), min_size=1, max_size=8), below=st.booleans())
def test_as_an_independent_implementation(steps: list[int], below: bool) -> None:
    depths = [0]
    for step in steps:
        depths.append(min(max(depths[-1] + step, 0), 7))
    if not any(depths):
        return
    ordered = depths[::-1] if below else depths
    parents, open_ = [], dict[int, int]()
    for at, depth in enumerate(depths):
        parents.append(open_.get(depth - 1))
        open_[depth] = at
    found = shaped(book(ordered), {**GROUPS, "parents": "below" if below else "above"})
    rows = found.rows[::-1] if below else found.rows
    ids = [row[2] for row in rows]
    assert [row[3] for row in rows] == [None if up is None else ids[up] for up in parents]
