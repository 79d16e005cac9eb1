"""What can be changed beside each finding, and what a form of such changes brings.

A cell is addressed by the row of its finding and the place of its column in the file, from 0: names of columns may be any
text. Each field comes with the stamp of the edit that the page showed. If the cell has another one by now, a second person has
changed it meanwhile, and what was typed is kept beside what that person wrote.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pipeline.contracts.masking import MASK

ROOT_CODES = frozenset({"missing_parent", "self_parent", "circular_reference"})
"""Findings that end when the record has no parent."""

CUT_CHARACTERS = 200
"""The ledger has that much of a cell, and an ellipsis (pipeline/report/findings.py). What was cut can only be replaced."""

_MEANT = re.compile(r"Did you mean (?P<it>[^\"].*?)\?(?: |$)", re.DOTALL)
_FIELD = re.compile(r"new\.([0-9]{1,18})\.([0-9]{1,5})")
_ACT = re.compile(r"(?P<act>[a-z-]{2,20})(?:\.(?P<first>[0-9]{1,18}))?(?:\.(?P<second>[0-9]{1,5}))?")


@dataclass(frozen=True)
class Change:
    """A change of a cell or a row: its author, its time, and the version of the patch that it came with.

    ``new`` is None if a row is skipped or made a root. ``is_hidden``: this key may not see the values.
    """

    version: int
    by: str
    at: datetime
    old: str | None = None
    new: str | None = None
    is_hidden: bool = False


@dataclass(frozen=True)
class Changes:
    """The changes of some rows: of cells by row and column, of whole rows by row."""

    cells: Mapping[tuple[int, str], Change]
    skipped: Mapping[int, Change]
    roots: Mapping[int, Change]


@dataclass(frozen=True)
class Editor:
    """What can be changed at one finding.

    ``place``: of the wrong cell in its row; None if no cell is meant. ``value``: what the field has. ``original``: the start
    of what the file has, or its mask. ``alike``: how many findings have the same code, column and value. ``is_repeated``: an
    earlier finding of the page has the field of this cell. ``is_first``: it is the first of its row. ``typed``: what was typed
    and not saved, since another person changed the cell meanwhile.
    """

    finding_no: int
    row: int
    place: int | None
    column: str
    value: str = ""
    original: str | None = None
    is_whole: bool = True  # the value is known, and not a mask or the beginning of a long one
    suggestion: str | None = None
    may_be_root: bool = False
    alike: int = 1
    edit: Change | None = None
    skipped: Change | None = None
    root: Change | None = None
    is_repeated: bool = False
    is_first: bool = False
    typed: str | None = None

    @property
    def name(self) -> str:
        """Return the name of its cell in the form's fields."""
        return f"{self.row}.{self.place}"

    @property
    def stamp(self) -> str:
        """Return what tells the edit that it shows from any other of the same cell; empty without one."""
        return str(self.edit.version) if self.edit else ""

    @property
    def is_long(self) -> bool:
        """Return whether the value needs more than a line."""
        return "\n" in self.value or "\r" in self.value or len(self.value) > 60


@dataclass(frozen=True)
class Typed:
    """A field of the form that differs from what the page showed."""

    row: int
    place: int
    new: str
    stamp: str


@dataclass(frozen=True)
class Act:
    """The button that was pressed, such as ``skip`` of a row, with up to two numbers."""

    name: str
    first: int = -1
    second: int = -1


# --- what a finding offers ---


def suggestion_in(hint: str | None) -> str | None:
    """Return the value that a hint suggests; None if it has none, or only the beginning of one."""
    found = _MEANT.match(hint or "")
    return None if found is None or found["it"].endswith("…") else found["it"]


def column_names(reading: Mapping[str, Any]) -> list[str]:
    """Return the names of the file's columns as findings and patches have them."""
    return [str(name) for name in reading.get("columns") or reading.get("original_columns", [])]


def editors(
    findings: Sequence[Mapping[str, Any]],
    reading: Mapping[str, Any],
    changes: Changes,
    alike: Mapping[int, int],
    unsaved: Mapping[tuple[int, int], str],
) -> dict[int, Editor]:
    """Return what can be changed at each finding of a page, by its number; findings of the whole file are left out.

    ``alike``: how many are like a finding. ``unsaved``: what was typed into cells, by row and place.
    """
    names = column_names(reading)
    found: dict[int, Editor] = {}
    seen: set[tuple[int, int | None]] = set()
    rows: set[int] = set()
    for finding in findings:
        if finding["row"] is None:
            continue
        place = bad_place(finding, reading)
        row, column = int(finding["row"]), names[place] if place is not None else ""
        edit = changes.cells.get((row, column)) if place is not None else None
        value, is_whole = _value(finding, place, edit)
        found[finding["finding_no"]] = Editor(
            finding["finding_no"],
            row,
            place,
            column,
            value=value,
            original=None if place is None else finding["cells"][place],
            is_whole=is_whole,
            suggestion=None if edit or place is None else suggestion_in(finding["hint"]),
            may_be_root=finding["code"] in ROOT_CODES,
            alike=alike.get(finding["finding_no"], 1),
            edit=edit,
            skipped=changes.skipped.get(row),
            root=changes.roots.get(row),
            is_repeated=(row, place) in seen,
            is_first=row not in rows,
            typed=unsaved.get((row, place)) if place is not None else None,
        )
        seen.add((row, place))
        rows.add(row)
    return found


def bad_place(finding: Mapping[str, Any], reading: Mapping[str, Any]) -> int | None:
    """Return the place of the wrong cell; None if the finding names none that is stored with it."""
    originals = [str(name) for name in reading.get("original_columns", [])]
    names = [str(name) for name in reading.get("columns", [])]
    place = next((known.index(finding["column"]) for known in (names, originals) if finding["column"] in known), None)
    return place if place is not None and place < min(len(originals), len(finding["cells"] or [])) else None


def _value(finding: Mapping[str, Any], place: int | None, edit: Change | None) -> tuple[str, bool]:
    """Return what the input of a cell has, and whether that is all of it."""
    if edit is not None:
        return ("", False) if edit.is_hidden else (edit.new or "", True)
    text = "" if place is None else finding["cells"][place] or ""
    is_cut = len(text) > CUT_CHARACTERS and text.endswith("…")
    return ("", False) if is_cut or text == MASK else (text, True)


# --- what a form brings ---


def typed_in(form: Mapping[str, str]) -> list[Typed]:
    """Return the fields of a form whose text differs from what the page showed."""
    found = []
    for name, new in form.items():
        if (match := _FIELD.fullmatch(name)) is None:
            continue
        cell = f"{match[1]}.{match[2]}"
        if _as_sent(new) != _as_sent(form.get(f"was.{cell}", "")):
            found.append(Typed(int(match[1]), int(match[2]), _as_sent(new), form.get(f"stamp.{cell}", "")))
    return found


def act_in(form: Mapping[str, str]) -> Act:
    """Return the button that was pressed; ``save`` if none is known."""
    match = _ACT.fullmatch(form.get("do", ""))
    if match is None:
        return Act("save")
    return Act(match["act"], *(int(match[one]) if match[one] is not None else -1 for one in ("first", "second")))


def _as_sent(text: str) -> str:
    """Return a text with the line ends that it has everywhere but in a form."""
    return text.replace("\r\n", "\n").replace("\r", "\n")
