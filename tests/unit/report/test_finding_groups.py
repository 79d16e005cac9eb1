"""Findings that say the same are one group; what differs by more than its value is another."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.datasets.dataset import load_dataset
from pipeline.report import finding_groups
from pipeline.report.findings import write_findings
from tests.support.staging import opened

Reported = Callable[..., Path]


def grouped(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / finding_groups.FILE).read_bytes())
    return found


def not_a_number(row: int, value: str) -> dict[str, Any]:
    said = f"{value} is not a whole number between -5 and 5."
    return {"code": "invalid_type", "row": row, "column": "n", "value": value, "message": said, "hint": "Expected one."}


def test_one_expectation_that_every_row_fails_is_one_group(reported: Reported) -> None:
    found = grouped(reported([{"id": str(n)} for n in range(300)], [not_a_number(n, f"n{n}") for n in range(1, 301)]))
    assert (found["total"], found["groups"]) == (300, 1)
    (one,) = found["items"]
    assert one["message"] == "… is not a whole number between -5 and 5."
    assert (one["count"], one["kind"], one["hint"]) == (300, "text", "Expected one.")
    assert [first["row"] for first in one["first"]] == [1, 2, 3, 4, 5]
    assert one["first"][4]["value"] == "n5" and one["first"][4]["id"] == "4"


def test_what_differs_in_more_than_the_value_is_another_group(reported: Reported) -> None:
    same = not_a_number(1, "x")
    others = [{"row": 2, "column": "m"}, {"row": 2, "code": "c"}, {"row": 2, "severity": "warning"}, {"row": 2, "value": "7"}]
    others += [{"row": 3, "value": None}, {"row": 3, "value": ""}, {"row": 3, "message": "y is something else."}]
    found = grouped(reported([{"id": "a"}] * 3, [same, not_a_number(2, "y"), *({**same, **other} for other in others)]))
    assert [one["count"] for one in found["items"]] == [2, *[1] * 7]
    assert found["items"][0]["message"].startswith("… is not")
    assert sum(one["count"] for one in found["items"]) == found["total"] == 9
    assert {one["kind"] for one in found["items"]} == {"none", "empty", "number", "text"}


def test_a_value_is_taken_out_as_a_word_and_tears_no_other_apart(reported: Reported) -> None:
    said = [{"row": n, "value": value, "message": f"The parent {value} is not here."} for n, value in enumerate("eaht", 1)]
    found = grouped(reported([{"id": "a"}] * 4, said))
    assert [one["message"] for one in found["items"]] == ["The parent … is not here."]


def test_cycles_are_one_group_whatever_their_paths(reported: Reported) -> None:
    def circle(row: int, length: int) -> dict[str, Any]:
        path = [f"x{row}-{n}" for n in range(length)]
        said = f"The record {path[0]} is its own ancestor, in a cycle of {length} records: {' → '.join(path)}."
        return {"code": "circular_reference", "row": row, "value": path[0], "message": said, "cycle": path}

    found = grouped(reported([{"id": "a"}] * 2, [circle(1, 2), circle(2, 100)]))
    (one,) = found["items"]
    assert one["message"] == "The record … is its own ancestor, in a cycle of … records."
    assert len(one["first"][1]["cycle"]) == finding_groups.LIST_LENGTH + 1
    assert one["first"][1]["cycle"][-1] == "…"


def test_messages_that_go_in_all_directions_are_one_group_by_what_they_share(reported: Reported) -> None:
    said = [f"The id a{n} differs from {chr(65 + n)}x only in case." for n in range(26)]
    findings = [{"row": n, "value": f"a{n - 1}", "message": text} for n, text in enumerate(said, 1)]
    (one,) = grouped(reported([{"id": "a"}] * 26, findings))["items"]
    assert (one["message"], one["count"]) == ("The id … differs from … only in case.", 26)
    assert [first["row"] for first in one["first"]] == [1, 2, 3, 4, 5]


def test_messages_that_share_nothing_are_told_apart_by_their_code_alone(reported: Reported) -> None:
    found = grouped(reported([{"id": "a"}], [{"row": 1, "message": chr(65 + n) * 3} for n in range(20)]))
    assert [(one["message"], one["count"]) for one in found["items"]] == [("…", 20)]


def test_there_are_so_many_groups_at_most_the_largest_first(reported: Reported, monkeypatch: Any) -> None:
    monkeypatch.setattr(finding_groups, "GROUPS_MAX", 3)
    found = grouped(reported([{"id": "a"}], [{"row": 1, "code": f"c{n % 7}"} for n in range(13)]))
    assert (found["total"], found["groups"], len(found["items"])) == (13, 7, 3)
    assert [one["count"] for one in found["items"]] == [2, 2, 2]


def test_no_findings_are_no_groups(reported: Reported) -> None:
    assert grouped(reported([{"id": "a"}], [])) == {"total": 0, "groups": 0, "items": []}


HINTS = {
    "IDs in quotes": ['Record "a1" has that name.', 'Record "b" has that name.', 'Record "…" has that name.'],
    "lists": ['It has several IDs: "a", "b". One!', 'It has several IDs: "c", "d", "e". One!', 'It has several IDs: "…". One!'],
    "IDs that were meant": ["Did you mean FR-75?", "Did you mean x y?", "Did you mean …?"],
    "code points": [
        "The parent has U+0410 CYRILLIC CAPITAL LETTER A, the ID has U+0041 LATIN CAPITAL LETTER A.",
        "The parent has U+0042 LATIN CAPITAL LETTER B, U+0020 SPACE, the ID has U+2010 HYPHEN-MINUS.",
        "The parent has U+…, the ID has U+….",
    ],
    "descendants": ["Add it. 1,002 records of the file are its descendants.", "Add it.", "Add it."],
}


@pytest.mark.parametrize("hints", HINTS.values(), ids=HINTS)
def test_findings_of_one_cause_are_one_group_with_one_sentence(reported: Reported, hints: list[str]) -> None:
    said = [{"row": n, "hint": hints[n % 2], "value": f"v{n}", "message": f'No "v{n}".'} for n in range(1, 20)]
    (one,) = grouped(reported([{"id": "a"}] * 20, said))["items"]
    assert (one["count"], one["message"], one["hint"]) == (19, 'No "…".', hints[2])


def test_fifty_thousand_rows_of_one_cause_are_one_group(reported: Reported, database: Path, tmp_path: Path) -> None:
    reported([{"id": "a"}], [])
    with opened(database) as connection:
        connection.execute(
            """insert into findings by name
            select 'missing_parent' as code, 'error' as severity, n as row, 'parentId' as "column", 'p' || n as value,
                'The parent "p' || n || '" is not here.' as message,
                'It contains the ID "' || n || '": write only the ID.' as hint
            from range(1, 50001) t(n)"""
        )
        write_findings(connection, load_dataset("records"), tmp_path / "report")
        finding_groups.write_groups(connection, tmp_path / "report")
    (one,) = grouped(tmp_path / "report")["items"]
    assert (one["count"], one["message"], one["hint"]) == (
        50_000, 'The parent "…" is not here.', 'It contains the ID "…": write only the ID.'
    )  # fmt: skip


def test_causes_are_groups_of_their_own_unless_there_are_many(reported: Reported) -> None:
    def found(causes: int) -> list[tuple[int, str | None]]:
        said = [{"row": n, "hint": f"Do {chr(65 + n % causes)}.", "message": "Wrong."} for n in range(1, 41)]
        return [(one["count"], one["hint"]) for one in grouped(reported([{"id": "a"}] * 41, said))["items"]]

    assert found(2) == [(20, "Do B."), (20, "Do A.")]
    assert found(20) == [(40, None)]
