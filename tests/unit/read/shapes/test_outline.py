"""Outlines: order and indentation."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import Unreadable
from tests.support.shapes import shaped, table

OUTLINE = {"kind": "outline", "column": "name"}
TREE = {"1": None, "1.1": "1", "1.1.1": "1.1", "1.2": "1", "2": None}
NAMES = ("A", "B", "C", "D", "E")
DEPTHS = (0, 1, 2, 1, 0)


@pytest.mark.parametrize("indent", ["\t", "  ", "    ", "\u00a0"])
def test_levels_by_tabs_or_spaces(indent: str) -> None:
    found = shaped(
        table(("name", "x"), [(indent * depth + name, 1) for depth, name in zip(DEPTHS, NAMES, strict=True)]), OUTLINE
    )
    assert (found.parents, [row[4] for row in found.rows], found.findings) == (TREE, [*NAMES], [])


def test_levels_by_an_indent_that_is_said() -> None:
    found = shaped(
        table(("name", "x"), [("- " * depth + name, 1) for depth, name in zip(DEPTHS, NAMES, strict=True)]),
        {**OUTLINE, "indent": "- "},
    )
    assert (found.parents, [row[4] for row in found.rows]) == (TREE, [*NAMES])


def test_levels_by_columns_and_by_number() -> None:
    cells = [tuple(name if at == depth else "" for at in range(3)) for depth, name in zip(DEPTHS, NAMES, strict=True)]
    found = shaped(table(("a", "b", "c"), cells), {"kind": "outline", "columns": ["a", "b", "c"]})
    assert (found.parents, [row[4] for row in found.rows]) == (TREE, [*NAMES])
    numbered = table(("Level", "name"), [(depth + 1, name) for depth, name in zip(DEPTHS, NAMES, strict=True)])
    assert shaped(numbered, {"kind": "outline", "level": "Level"}).parents == TREE


def test_ids_of_their_own() -> None:
    found = shaped(table(("Level", "id"), [(1, "a"), (2, "b"), (2, "c")]), {"kind": "outline", "level": "Level"})
    assert found.parents == {"a": None, "b": "a", "c": "a"}


def test_a_text_without_a_header_and_with_comments() -> None:
    found = shaped("# list\n\nA x\n\tB\n# more\n\t\tC\nD\n", {**OUTLINE, "text": True, "comment": "#"})
    assert [row[1:] for row in found.rows] == [
        (3, "1", None, "A x"), (4, "1.1", "1", "B"), (6, "1.1.1", "1.1", "C"), (7, "2", None, "D")
    ]  # fmt: skip


def test_what_is_not_clear_is_refused() -> None:
    with pytest.raises(Unreadable, match="tabs in some rows"):
        shaped(table(("name", "x"), [("A", 1), ("\tB", 1), ("  C", 1)]), OUTLINE)
    odd = shaped(table(("name", "x"), [("A", 1), ("  B", 1), ("   C", 1)]), OUTLINE)
    assert odd.findings == [("unclear_levels", 3), ("unclear_parents", None)]
    assert shaped(table(("Level", "name"), [(1, "A"), ("x", "B")]), {"kind": "outline", "level": "Level"}).errors


@settings(max_examples=12, deadline=None)
@given(levels=st.lists(st.integers(0, 4), min_size=1, max_size=10))
def test_as_an_independent_implementation(levels: list[int]) -> None:
    found = shaped(
        table(("Level", "name"), [(level, f"n{at}") for at, level in enumerate(levels)]), {"kind": "outline", "level": "Level"}
    )
    base, parents, jumps = min(levels), dict[int, int](), set[int]()
    for at, level in enumerate(levels):
        above = [before for before in range(at) if levels[before] < level]
        if above:
            parents[at] = above[-1]
        if level - (levels[above[-1]] if above else base - 1) > 1:
            jumps.add(at + 1)
    ids = [row[2] for row in found.rows]
    assert [row[3] for row in found.rows] == [ids[parents[at]] if at in parents else None for at in range(len(levels))]
    assert {row for code, row in found.findings if code == "level_gap"} == jumps
    assert len(set(ids)) == len(ids)
    assert bool(jumps) == (levels[0] > base or any(low - high > 1 for high, low in pairwise(levels)) or bool(jumps))


SPACES, TABS = st.integers(0, 5).map(" ".__mul__), st.integers(0, 3).map("\t".__mul__)
INDENTS = (SPACES, st.integers(0, 4).map("  ".__mul__), TABS, SPACES | TABS | st.sampled_from(["\t ", "\u00a0"]))
TEXTS = st.sampled_from(["a", "b  c", '"q', "1, 2", "", "# no", "-", "é "])


@settings(max_examples=12, deadline=None)
@given(
    lines=st.sampled_from(INDENTS).flatmap(lambda lead: st.lists(st.tuples(lead, TEXTS), max_size=12)),
    indent=st.sampled_from(["", "  ", "\t"]),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_a_text_as_an_independent_implementation(lines: list[tuple[str, str]], indent: str, end: str) -> None:
    shape = {**OUTLINE, "text": True, "comment": "#", **({"indent": indent} if indent else {})}
    content = "".join(f"{lead}{text}{end}" for lead, text in lines)
    expected = simple(lines, indent)
    if expected is None:
        with pytest.raises(Unreadable):
            shaped(content, shape)
        return
    rows, unclear, jumps = expected
    found = shaped(content, shape)
    assert [row[1:] for row in found.rows if row[0] not in unclear] == rows
    assert {row for code, row in found.findings if code == "unclear_levels"} == unclear
    assert {row for code, row in found.findings if code == "level_gap"} == jumps


def simple(lines: list[tuple[str, str]], indent: str) -> tuple[list[tuple[object, ...]], set[int], set[int]] | None:
    """Return (line, id, parentId, name) of the clear rows, the others, and the rows a level too deep; None: it is refused."""
    kept = [(at, lead, text.rstrip()) for at, (lead, text) in enumerate(lines, 1) if text and not text.startswith("#")]
    used = "".join(lead for _, lead, _ in kept)
    if not kept or (not indent and "\t" in used and used.strip("\t")):
        return None
    sizes = [len(lead) for _, lead, _ in kept]
    least = min(sizes)
    unit = 1 if "\t" in used else min((size - least for size in sizes if size > least), default=1)
    rows, unclear, jumps = list[tuple[object, ...]](), set[int](), set[int]()
    above, counts, levels = list[tuple[int, str]](), dict[str, int](), list[int | None]()
    for _, lead, _ in kept:
        if indent:
            levels.append(None if lead.replace(indent, "") else len(lead) // len(indent))
        else:
            levels.append(None if (len(lead) - least) % unit else (len(lead) - least) // unit)
    base = min((level for level in levels if level is not None), default=0)
    for number, ((at, _, text), level) in enumerate(zip(kept, levels, strict=True), 1):
        if level is None:
            unclear.add(number)
            continue
        while above and above[-1][0] >= level:
            above.pop()
        higher, parent = above[-1] if above else (base - 1, "")
        if level - higher > 1:
            jumps.add(number)
        counts[parent] = counts.get(parent, 0) + 1
        key = f"{parent}.{counts[parent]}".lstrip(".")
        above.append((level, key))
        rows.append((at, key, parent or None, text))
    return rows, unclear, jumps
