"""What can be changed beside a finding, and what a form of changes brings."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from pipeline.contracts.masking import MASK
from web.pages.cell_editors import Act, Change, Changes, Editor, Typed, act_in, editors, suggestion_in, typed_in

READING = {"columns": ["id", "parentId", "name"], "original_columns": ["Code", "Above", "Name"]}
NONE = Changes({}, {}, {})
NOW = datetime(2026, 3, 1, tzinfo=UTC)


def finding(number: int, **more: Any) -> dict[str, Any]:
    given = {"code": "missing_parent", "row": 7, "column": "parentId", "hint": None, "cells": ["FR-75", "Fr", "Paris"]}
    return {"finding_no": number, **given, **more}


def editor(*, changes: Changes = NONE, **more: Any) -> Editor:
    return editors([finding(1, **more)], READING, changes, {}, {})[1]


@pytest.mark.parametrize(
    ("hint", "meant"),
    [
        ("Did you mean FR?", "FR"),
        ("Did you mean FR? 12 records of the file are its descendants.", "FR"),
        ("Did you mean what?no? It has a space.", "what?no"),
        ("Did you mean two\nlines?", "two\nlines"),
        ('Did you mean "FR\\u00a0"? It ends with a space.', None),  # as it is spelled, it is not the value
        ("Did you mean " + "x" * 60 + "…?", None),
        ("Add the parent to the file, or correct the parent ID.", None),
        ("", None),
        (None, None),
    ],
)
def test_the_suggestion_of_a_hint(hint: str | None, meant: str | None) -> None:
    assert suggestion_in(hint) == meant


def test_the_wrong_cell_is_found_by_either_name_and_called_as_findings_call_it() -> None:
    for column in ("parentId", "Above"):
        assert (editor(column=column).place, editor(column=column).column, editor(column=column).value) == (1, "parentId", "Fr")
    assert editor(column="gone").place is None
    assert editor(column="name", cells=["FR-75", "Fr"]).place is None  # only the first cells of a wide row are stored
    assert editors([finding(1, row=None)], READING, NONE, {}, {}) == {}


@pytest.mark.parametrize("text", [MASK, "x" * 200 + "…"])
def test_what_is_masked_or_cut_is_replaced_and_never_sent_back(text: str) -> None:
    shown = editor(cells=["FR-75", text, "Paris"])
    assert (shown.value, shown.is_whole) == ("", False)


def test_an_edit_is_shown_in_place_of_the_value_and_ends_the_suggestion() -> None:
    edited = Changes({(7, "parentId"): Change(3, "Ann", NOW, "Fr", "FR")}, {}, {})
    shown = editor(changes=edited, hint="Did you mean FR?")
    assert (shown.value, shown.stamp, shown.suggestion, shown.original) == ("FR", "3", None, "Fr")
    hidden = Changes({(7, "parentId"): Change(3, "Ann", NOW, MASK, MASK, is_hidden=True)}, {}, {})
    assert (editor(changes=hidden).value, editor(changes=hidden).is_whole) == ("", False)


def test_a_cell_with_two_findings_has_one_field() -> None:
    two = editors([finding(1), finding(2, code="self_parent"), finding(3, column="name")], READING, NONE, {2: 5}, {})
    assert [(one.is_repeated, one.is_first, one.alike) for one in two.values()] == [
        (False, True, 1),
        (True, False, 5),
        (False, False, 1),
    ]


def test_only_what_was_changed_is_sent() -> None:
    form = {
        **{"new.7.1": "FR", "was.7.1": "Fr", "stamp.7.1": ""},
        **{"new.8.1": "same", "was.8.1": "same", "stamp.8.1": "2"},
        **{"new.9.2": "a\r\nb", "was.9.2": "a\nb"},  # a browser sends its own line ends
        **{"new.10.2": "", "was.10.2": "gone", "stamp.10.2": "4"},
        **{"new.x.2": "no", "new.1.2.3": "no", "csrf_token": "t", "do": "skip.7"},
    }
    assert typed_in(form) == [Typed(7, 1, "FR", ""), Typed(10, 2, "", "4")]


@pytest.mark.parametrize(
    ("do", "act"),
    [
        ("save", Act("save")),
        ("skip.7", Act("skip", 7)),
        ("undo.7.1", Act("undo", 7, 1)),
        ("alike-set.3", Act("alike-set", 3)),
        ("skip.x", Act("save")),
        ("SKIP", Act("save")),
        ("skip." + "9" * 30, Act("save")),
        ("", Act("save")),
    ],
)
def test_the_button_that_was_pressed(do: str, act: Act) -> None:
    assert act_in({"do": do}) == act
    assert act_in({}) == Act("save")
