"""Invisible characters in ids: what belongs to the spelling is taken, anything else is refused and shown."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.contracts.options import Options
from pipeline.datasets.dataset import load_dataset
from tests.support.staging import opened, read_into

RECORDS = load_dataset("records")
Found = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture
def found(tmp_path: Path) -> Found:
    """Read one record after the other with these ids; gives (code, row, value, message, hint) of the findings."""

    def run(*ids: str, **clean: Any) -> list[tuple[Any, ...]]:
        (tmp_path / "source").write_text("id,parentId\n" + "".join(f'"{one}",\n' for one in ids), encoding="utf-8")
        dataset = RECORDS.for_upload(Options(clean=clean))
        read_into(tmp_path / "staging.duckdb", tmp_path / "source", dataset, options=dataset.options)
        with opened(tmp_path / "staging.duckdb") as connection:
            return connection.execute("select code, row, value, message, hint from findings order by row nulls last").fetchall()

    return run


JOINED = [
    "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",  # Persian: I want
    "\u0647\u0627\u200c\u06cc\u200c\u0647",  # one letter between two non-joiners
    "\u0915\u094d\u200d\u0937",  # Devanagari: half forms
    "\u0915\u094d\u200c\u0937",
    "\u0d28\u0d4d\u200d",  # Malayalam: chillu at the end
    "\u0dc1\u0dca\u200d\u0dbb\u0dd3",  # Sinhala: Sri
    "\U0001f468\u200d\U0001f469\u200d\U0001f467",  # a family
    "\U0001f3f3\ufe0f\u200d\U0001f308",  # a flag
    "\U0001f469\U0001f3fd\u200d\U0001f680",  # an astronaut with a skin tone
]


@pytest.mark.parametrize("one", JOINED, ids=ascii)
def test_joiners_that_belong_to_the_spelling_are_taken(found: Found, one: str) -> None:
    assert found(one, "x" + one) == []


@pytest.mark.parametrize(
    "one",
    ["a\u200cb", "a\u200db", "\u0645\u200c", "\u200c\u0645", "\u0645\u200c1", "\u0645\u200c\u200c\u0645", "\u200d\U0001f469",
     "\U0001f469\u200d", "a\u200bb", "\u0645\u200b\u0645", "a\u00ad", "\ufeffa", "\u200ea", "a\u0085"],
    ids=ascii,
)  # fmt: skip
def test_others_are_refused(found: Found, one: str) -> None:
    ((code, row, *_),) = found(one)
    assert (code, row) == ("invalid_character", 1)


def test_both_spellings_are_shown(found: Found) -> None:
    assert [told[3:] for told in found("New\u00a0York", "A\u200b1")] == [
        (
            "The value contains the character U+00A0 (no-break space), which is invisible.",
            'Write "New York" instead of "New\\u00a0York", here and wherever the ID is used.'
            ' Spaces are mended by clean={"trim": true, "collapse_spaces": true}.',
        ),
        (
            "The value contains the character U+200B (zero width space), which is invisible.",
            'Write "A1" instead of "A\\u200b1", here and wherever the ID is used.',
        ),
    ]


def test_a_mistake_beside_a_joiner_is_the_one_that_is_named(found: Found) -> None:
    ((*_, message, _),) = found("\u0645\u200c\u0645\u200b")
    assert "U+200B" in message


def test_what_a_rule_mends_is_no_error(found: Found) -> None:
    assert [code for code, *_ in found(" a", "b\u00a0c", trim=True, collapse_spaces=True)] == [
        "cleaned_values",
        "cleaned_values",
    ]
    ((code, _, value, *_), _) = found("a ", " \u200cb", trim=True)
    assert (code, value) == ("invalid_character", " \\u200cb"), "shown as it is in the file"


def test_outer_spaces_name_the_rule(found: Found) -> None:
    ((*_, hint),) = found("a ")
    assert hint == "Write 'a', here and wherever the id is used, or let it be done: clean={\"trim\": true}."


# --- Values written for a spreadsheet ---


@pytest.mark.parametrize(
    ("one", "rule"),
    [('=""001""', "unquote_excel"), ("'001", "strip_leading_apostrophe"), ("'abc", "strip_leading_apostrophe")],
)
def test_values_written_for_a_spreadsheet_are_a_warning_with_the_rule(found: Found, one: str, rule: str) -> None:
    ((code, _, _, message, hint),) = found("1", one)
    assert code == "spreadsheet_text" and message.startswith("1 value of id ") and f'clean={{"{rule}": true}}.' in hint
    assert [code for code, *_ in found("1", one, **{rule: True})] == ["cleaned_values"]


@pytest.mark.parametrize("one", ["=A1", "=", "'", "'a'", "a'"])
def test_others_are_kept_without_a_word(found: Found, one: str) -> None:
    assert found(one) == []
