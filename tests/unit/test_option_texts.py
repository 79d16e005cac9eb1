"""Options of reading are parsed from texts, and a wrong one is refused with what is possible."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.contracts.options import READ_NAMES, ReadOptions
from pipeline.errors import InvalidRequest
from pipeline.option_texts import PARSERS, delimiter_of, delimiter_text, option_text, parsed


@pytest.mark.parametrize(
    ("name", "text", "meant"),
    [
        ("delimiter", "semicolon", ";"),
        ("delimiter", "Tab", "\t"),
        ("delimiter", "\\t", "\t"),
        ("delimiter", "\\x01", "\x01"),
        ("delimiter", "\t|\t", "\t|\t"),
        ("delimiter", "::", "::"),
        ("quote", "single", "'"),
        ("quote", "none", "none"),
        ("quote", "\u00ab", "\u00ab"),
        ("encoding", "Windows-1252", "cp1252"),
        ("encoding", "Shift_JIS", "shift_jis"),
        ("encoding", "utf-8-sig", "utf-8-sig"),
        ("encoding", "KOI8-U", "koi8-u"),
        ("header_row", "4", 4),
        ("sheet", "Data 2026", "Data 2026"),
        ("records_at", "data.items", "data.items"),
        ("merged", "fill", "fill"),
        ("repeated_columns", "list", "list"),
        ("no_parent_values", "0, NULL,", ("0", "NULL")),
        ("no_parent_values", '["0", "a,b"]', ("0", "a,b")),
        ("parent_by", "name", "name"),
        ("parent_by", "name > name", "name > name"),
        ("shape", '{"kind": "levels"}', {"kind": "levels"}),
        ("clean", '{"trim": true}', {"trim": True}),
    ],
)
def test_a_text_means(name: str, text: str, meant: Any) -> None:
    assert parsed({name: text}) == {name: meant}
    assert parsed({name: option_text(meant)}) == {name: meant}
    assert getattr(ReadOptions(**parsed({name: text})), name) == meant


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("delimiter", "semikolon", "Did you mean semicolon?"),
        ("delimiter", "x", "1 to 8 characters"),
        ("delimiter", "|||||||||", "1 to 8 characters"),
        ("delimiter", '"', "without letters, digits and quotes"),
        ("delimiter", "\n", "without letters"),
        ("quote", "ab", "one character, or none"),
        ("quote", "nine", "Did you mean none?"),
        ("encoding", "latin-one", "no encoding 'latin-one'"),
        ("encoding", "base64", "not an encoding of text"),
        ("encoding", "punycode", "not an encoding of text"),
        ("encoding", "\0", "no encoding"),
        ("header_row", "0", "from 1"),
        ("header_row", "-1", "from 1"),
        ("header_row", "9" * 5_000, "from 1"),
        ("header_row", "\u0664", "from 1"),
        ("merged", "fil", "Did you mean fill?"),
        ("repeated_columns", "sum", "number or list"),
        ("no_parent_values", "[0]", "JSON list of texts"),
        ("no_parent_values", "[", "JSON list"),
        ("shape", "levels", "JSON object"),
        ("clean", "[" * 100_000, "JSON object"),
    ],
)
def test_a_wrong_text_is_refused_with_what_is_possible(name: str, text: str, said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        parsed({name: text})


@pytest.mark.parametrize(
    ("delimiter", "text"),
    [
        *((";", "semicolon"), ("\t", "tab"), (" ", "space"), ("  ", "spaces"), ("^", "^"), ("::", "::"), (" | ", r"\x20|\x20")),
        *(("\t|\t", r"\t|\t"), ("\x01", r"\x01"), ("\\", "\\\\"), ("\xa6\t", r"\xa6\t"), ("\u00b7", "\u00b7")),
    ],
)
def test_a_delimiter_is_written_so_that_it_can_be_read(delimiter: str, text: str) -> None:
    assert delimiter_text(delimiter) == text
    assert delimiter_of(text) == delimiter


@given(text=st.text(min_size=1, max_size=8))
def test_a_delimiter_that_is_written_means_the_same(text: str) -> None:
    try:
        delimiter = delimiter_of(text)
    except InvalidRequest:
        return
    written = delimiter_text(delimiter)
    assert delimiter_of(written) == delimiter
    assert written.isprintable() and written == written.strip()


def test_nothing_is_asked_for() -> None:
    assert parsed({"sheet": None, "quote": "", "on_error": "reject"}) == {}


def test_every_option_of_reading_has_a_parser() -> None:
    assert {*PARSERS, "mapping", "without", "patch"} == set(READ_NAMES)
