"""Prefixes: codes that begin with their parent's."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.shapes import shaped, table

PREFIX = {"kind": "prefix", "column": "code"}


def codes(*some: str) -> str:
    return table(("code", "title"), [(code, "x") for code in some])


def test_by_lengths_with_a_range_and_a_gap() -> None:
    found = shaped(codes("31-33", "311", "32199", "44"), {**PREFIX, "lengths": [2, 3, 4, 5]})
    assert found.parents == {"31-33": None, "311": "31-33", "32199": "31-33", "44": None}
    assert found.findings == [("code_gap", None)]
    assert "3219" in found.messages[0]
    assert found.summary.original_columns == ("code", "title", "parentId")


def test_codes_within_a_range_are_below_it() -> None:
    found = shaped(codes("A00-A09", "A00", "A001", "A10"), {**PREFIX, "longest": True})
    assert found.parents == {"A00-A09": None, "A00": "A00-A09", "A001": "A00", "A10": None}


def test_ranges_that_overlap_are_candidates() -> None:
    found = shaped(codes("10-12", "12-14", "121"), {**PREFIX, "lengths": [2, 3]})
    assert ("ambiguous_parent", 3) in found.findings
    assert "10-12, 12-14" in found.messages[0]


def test_a_code_of_another_length_is_malformed() -> None:
    assert shaped(codes("12", "12345"), {**PREFIX, "lengths": [2, 3]}).errors == {"malformed_code"}


def test_by_a_separator_and_with_ids_of_their_own() -> None:
    content = table(("nr", "code"), [(1, "1"), (2, "1.1"), (3, "1.1.7.2"), (4, "2.1")])
    found = shaped(content, {**PREFIX, "separator": ".", "id": "nr"})
    assert found.parents == {"1": None, "2": "1", "3": "2", "4": None}
    assert found.findings == [("code_gap", None)]


@pytest.mark.parametrize("how", ["lengths", "longest", "separator"])
@settings(max_examples=12, deadline=None)
@given(some=st.lists(st.text("ab", min_size=1, max_size=5), min_size=1, max_size=8, unique=True))
def test_as_an_independent_implementation(how: str, some: list[str]) -> None:
    separator = "." if how == "separator" else ""
    some = [separator.join(code) for code in some]
    said = {"lengths": [1, 2, 3, 4, 5], "longest": True, "separator": "."}[how]
    found = shaped(codes(*some), {**PREFIX, how: said})
    step = 1 + len(separator)
    cuts = {code: [code[:-cut] for cut in range(step, len(code), step)] for code in some}
    assert found.parents == {code: next((cut for cut in cuts[code] if cut in some), None) for code in some}
    assert (("code_gap", None) in found.findings) == (
        how != "longest" and any(cut and cut[0] not in some for cut in cuts.values())
    )


def test_the_narrowest_of_nested_ranges_is_the_parent_and_an_uncountable_one_has_no_children() -> None:
    found = shaped(codes("C00-C96", "C00-C14", "C00", "C7A-C7B", "C7A", "C7A1"), {**PREFIX, "longest": True})
    assert found.parents["C00"] == "C00-C14"
    assert (found.parents["C7A-C7B"], found.parents["C7A"], found.parents["C7A1"]) == (None, None, "C7A")
    assert found.errors == {"unclear_range"}


def test_a_range_whose_codes_cannot_be_told_is_a_warning() -> None:
    found = shaped(
        table(("code", "name"), [("A00-B99", "a"), ("A05", "b")]), {"kind": "prefix", "column": "code", "longest": True}
    )
    assert (found.parents, found.findings) == ({"A00-B99": None, "A05": None}, [("unclear_range", 1)])


def test_a_separator_at_the_end_does_not_count() -> None:
    rows = [("1.", "a"), ("1.1.", "b"), ("1.1.2", "c")]
    found = shaped(table(("code", "name"), rows), {"kind": "prefix", "column": "code", "separator": "."})
    assert (found.parents, found.findings) == ({"1.": None, "1.1.": "1.", "1.1.2": "1.1."}, [])
