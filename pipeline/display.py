"""Words that every face of Bulkhead shares: where something is in a file, how many there are of it, what was probably meant.

A place is what a person looks for: the cell of a workbook ("C7"), the line of a text file ("line 7"). The number of the record,
which does not count the header or empty rows, comes second.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any
from urllib.parse import urlsplit

LINES_KEPT = 100
"""How many changes of the distance between records and lines are kept with an import (``lines`` in its reading)."""

_WRITTEN = re.compile(r"(?i)(?:.*!)?(?P<what>line |row |record |[a-z]{1,3}(?=[0-9]))(?P<number>[0-9][0-9,]{0,17})")
_PLAIN_SHEET = re.compile(r"[^\W\d]\w*")


def counted(number: int, thing: str, things: str = "") -> str:
    """``1 warning``, ``2,000 warnings``; ``things`` where the plural is not made by an s."""
    return f"{number:,} {thing if number == 1 else things or f'{thing}s'}"


def cell_name(line: int, column: int) -> str:
    """A cell's name as Excel shows it; both count from 1."""
    return f"{column_letters(column)}{line}"


def column_letters(column: int) -> str:
    """1 as A, 27 as AA."""
    letters = ""
    while column:
        column, letter = divmod(column - 1, 26)
        letters = chr(65 + letter) + letters
    return letters


def place_of(finding: Mapping[str, Any], reading: Mapping[str, Any]) -> str:
    """Where a finding (``row``, ``line``, ``column``) is in its file; empty if it concerns the file as a whole.

    ``reading``: how the file was read, as the ledger has it.
    """
    row, line = finding.get("row"), finding.get("line")
    if line is None:
        return record_name(row)
    if reading.get("format") != "xlsx":
        return f"line {line:,}"
    letter = _letters(reading).get(str(finding.get("column") or ""), "")
    return f"{_sheet(reading)}{letter}{line}" if letter else f"{_sheet(reading, ' ')}row {line:,}"


def place_of_record(row: int | None, reading: Mapping[str, Any]) -> str:
    """Where a record is in its file, by its number; the number itself where nothing more is known."""
    return place_of({"row": row, "line": line_of(row, reading)}, reading)


def line_of(row: int | None, reading: Mapping[str, Any]) -> int | None:
    """The line, or the row of the sheet, on which a record begins; None where that is not known."""
    lines: Sequence[Sequence[int]] = reading.get("lines") or ()
    if row is None or not lines or reading.get("members", 1) != 1:
        return None
    found = [at for at, (first_row, _) in enumerate(lines) if first_row <= row]
    if not found or (found[-1] == LINES_KEPT - 1):  # beyond the last one that is kept there may be more
        return None
    first_row, first_line = lines[found[-1]]
    return first_line + row - first_row


def record_at(place: str, reading: Mapping[str, Any]) -> int | None:
    """The number of the record at ``line 7``, ``row 7``, ``C7`` or ``record 6``, as a person writes it; None if it is none."""
    found = _WRITTEN.fullmatch(place.strip())
    if found is None:
        return None
    number = int(found["number"].replace(",", ""))
    if found["what"].lower() == "record ":
        return number
    for first_row, first_line in reversed(reading.get("lines") or ()):
        if first_line <= number:
            row = int(first_row) + number - int(first_line)
            return row if line_of(row, reading) == number else None
    return None


def record_name(row: int | None) -> str:
    """``record 6``, counting from 1 without the header."""
    return "" if row is None else f"record {row:,}"


def place_and_record(place: str, row: int | None) -> str:
    """``C7 (record 6)``; each of the two only where it is known."""
    record = record_name(row)
    return f"{place} ({record})" if place and record and place != record else place or record


def place_sql(reading: Mapping[str, Any], *, row: str, line: str, column: str | None = None) -> str:
    """``place_of`` as an expression of SQL, of the expressions for the three."""
    record = f"'record ' || {_grouped(row)}"
    if reading.get("format") != "xlsx":
        return f"case when {line} is not null then 'line ' || {_grouped(line)} else {record} end"
    whole = f"{_literal(_sheet(reading, ' ') + 'row ')} || {_grouped(line)}"
    letters = _letters(reading)
    if column is None or not letters:
        return f"case when {line} is not null then {whole} else {record} end"
    cases = " ".join(
        f"when {column} = {_literal(name)} then {_literal(_sheet(reading) + letter)} || {line}::varchar"
        for name, letter in letters.items()
    )
    return f"case when {line} is null then {record} else case {cases} else {whole} end end"


def meant(wrong: str, known: Iterable[str]) -> str:
    """`` Did you mean max_errors?``: the known name that a wrong one is closest to, or nothing."""
    by_folded = {name.casefold(): name for name in known}
    found = get_close_matches(wrong.casefold(), by_folded, n=1, cutoff=0.6)
    return f" Did you mean {by_folded[found[0]]}?" if found else ""


def _letters(reading: Mapping[str, Any]) -> dict[str, str]:
    """The letter of each column of a workbook, under the name that it has in the file and under the dataset's."""
    letters = [str(letter) for letter in reading.get("letters") or ()]
    named = (reading.get("original_columns") or (), reading.get("columns") or ())
    return {str(name): letter for names in named for name, letter in zip(names, letters, strict=False)}


def _sheet(reading: Mapping[str, Any], after: str = "!") -> str:
    """The sheet before a cell, as Excel writes it, where the workbook has several; nothing else."""
    name = str(reading.get("sheet") or "")
    if not name or int(reading.get("sheets") or 1) < 2:
        return ""
    plain = _PLAIN_SHEET.fullmatch(name) is not None
    return (name if plain else "'" + name.replace("'", "''") + "'") + after


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _grouped(number: str) -> str:
    return f"format('{{:,}}', {number})"


_PLAIN_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_HIDDEN = ("Cc", "Cf", "Cs", "Zl", "Zp")
_JOINERS = "\u200c\u200d"
"""Invisible, but spelling in several scripts and in emoji."""


def visible(value: object, *, keep: str = "") -> str:
    """The value's text with every character that a terminal would act upon spelled out, as JSON would (``\\u001b``)."""
    return "".join(c if c in keep or not _is_hidden(c) else _spelled(c) for c in str(value))


def _is_hidden(character: str) -> bool:
    return not character.isprintable() and character not in _JOINERS and unicodedata.category(character) in _HIDDEN


def _spelled(character: str) -> str:
    if character in _PLAIN_ESCAPES:
        return _PLAIN_ESCAPES[character]
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


_PIECE_CHARACTERS = 16
"""A longer piece of a path may be a secret of the address."""


def masked(text: str) -> str:
    """An address without what may be a secret: passwords, queries, and long pieces of the path."""
    try:
        parts = urlsplit(text)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "…" if "@" in text or "?" in text else text
    if not parts.scheme or not parts.netloc:
        return text
    user = f"{parts.username}:…@" if parts.password else "…@" if parts.username else ""
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
    path = "/".join(piece if len(piece) <= _PIECE_CHARACTERS else "…" for piece in parts.path.split("/"))
    return f"{parts.scheme}://{user}{host}{port}{path}{'?…' if parts.query or parts.fragment else ''}"
