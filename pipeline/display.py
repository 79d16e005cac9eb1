"""Texts that pages, API, command line and messages share: states, places in a file, counts, sizes, durations, suggestions.

A place is what people look for: the cell of a workbook ("C7") or the line of a text file ("line 7"). The number of the record,
which does not count the header or empty rows, comes second.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from difflib import get_close_matches
from typing import Any
from urllib.parse import urlsplit

import humanize

from pipeline.contracts.options import DELIMITER_NAMES
from pipeline.contracts.states import State

LINES_KEPT = 100
"""How many changes of the offset between records and lines are stored with an import (``lines`` in its reading)."""

FORMAT_TEXTS = {"csv": "CSV", "tsv": "TSV", "json": "JSON", "ndjson": "NDJSON", "parquet": "Parquet", "xlsx": "Excel"}
DELIMITER_TEXTS = {character: name for name, character in DELIMITER_NAMES.items()}

STATE_TEXTS: Mapping[State, tuple[str, str]] = {
    State.AWAITING_UPLOAD: ("is being uploaded", "The file is being uploaded."),
    State.QUEUED: ("is queued", "Waiting in the queue: next in line."),
    State.VALIDATING: ("is being validated", "Every row is being checked."),
    State.PREPARING: ("is being prepared", "The records are being split into parts, parents first."),
    State.LOADING: ("is being loaded", "The records are being loaded into the warehouse."),
    State.PAUSED: ("is paused", "Paused: no further part is started, and later files of the dataset wait."),
    State.SUCCEEDED: ("succeeded", "{imported}."),
    State.PARTIALLY_SUCCEEDED: ("succeeded in part", "{imported}; {not_imported}."),
    State.REJECTED: ("was rejected", "Not imported: {problems} to fix."),
    State.FAILED: ("failed", "System error. What was loaded stays loaded; the counts show what."),
    State.CANCELED: ("was canceled", "Canceled. The counts show what was loaded."),
    State.EXPIRED: ("expired", "The upload was never completed."),
    State.DUPLICATE: ("was a duplicate", "Nothing to do: an earlier import loaded the same content."),
    State.VALIDATED: ("passed its dry run", "Dry run passed, nothing was imported. {importable}."),
}
"""What is said of an import in each state: the end of a sentence that begins with its name, and a sentence of its own."""

_WRITTEN = re.compile(r"(?i)(?:.*!)?(?P<what>line |row |record |[a-z]{1,3}(?=[0-9]))(?P<number>[0-9][0-9,]{0,17})")
_PLAIN_SHEET = re.compile(r"[^\W\d]\w*")


def counted(number: int, thing: str, things: str = "") -> str:
    """Return ``1 warning`` or ``2,000 warnings``; ``things`` is the plural where adding an s is not enough."""
    return f"{number:,} {thing if number == 1 else things or f'{thing}s'}"


def size_text(size_bytes: int) -> str:
    """Return a size for people: ``512 bytes``, ``18.2 kB``, ``2.1 GB`` (powers of 1000)."""
    return humanize.naturalsize(size_bytes).replace("Byte", "byte")


def duration_text(seconds: float) -> str:
    """Return a time that has passed: ``24.1 seconds``, ``1 minute and 3 seconds``, ``2 hours and 2 minutes``."""
    unit, digits = ("seconds", "%.1f") if seconds < 60 else ("seconds", "%.0f") if seconds < 3600 else ("minutes", "%.0f")
    return humanize.precisedelta(timedelta(seconds=seconds), minimum_unit=unit, format=digits)


def estimate_text(seconds: float) -> str:
    """Return a time that is only estimated, roughly: ``25 seconds``, ``6 minutes``, ``an hour``."""
    return humanize.naturaldelta(timedelta(seconds=max(seconds, 1)))


def percent_text(percent: float) -> str:
    """Return a share to three digits: ``12.8 %``. What is not none is never ``0 %``, and what is not all never ``100 %``."""
    return f"{percent:g} %" if 99.9 < percent < 100 else f"{percent:.3g} %"


def state_sentence(
    state: State, counts: Mapping[str, int], *, errors: int = 0, queue_position: int = 0, is_promotable: bool = False
) -> str:
    """Return the sentence about an import.

    ``counts``: as in its JSON. ``errors``: findings of severity error. ``queue_position``: imports ahead of it.
    ``is_promotable``: it has a dry run's result.
    """
    if state is State.QUEUED and queue_position:
        return f"Waiting in the queue: {counted(queue_position, 'import')} ahead."
    if state is State.EXPIRED and is_promotable:
        return "The dry run was not promoted in time."
    total, quarantined, refused = counts["total"], counts["quarantined"], counts["failed"] - counts["quarantined"]
    held = f"{counted(quarantined, 'record is', 'records are')} in quarantine" if quarantined else ""
    by_warehouse = f"{counted(refused, 'record was', 'records were')} refused by the warehouse" if refused > 0 else ""
    importable = f"{counted(total, 'record')} can be imported"
    if quarantined:
        importable = (
            f"{total - quarantined:,} of {counted(total, 'record')} can be imported; {quarantined:,} would be quarantined"
        )
    imported = counted(total, "record was imported", "records were imported")
    if state is State.PARTIALLY_SUCCEEDED:
        done = counts["inserted"] + counts["updated"] + counts["unchanged"]
        imported = f"{done:,} of {counted(total, 'record')} {'was' if done == 1 else 'were'} imported"
    return STATE_TEXTS[state][1].format(
        imported=imported,
        not_imported=" and ".join(filter(None, (held, by_warehouse))) or "the others were not",
        problems=counted(errors, "problem"),
        importable=importable,
    )


def dialect_text(source: Mapping[str, Any]) -> str:
    """Return how a file was read, ``CSV, semicolon, UTF-8, gzip``; empty if it was not read yet.

    ``source``: its format, delimiter, encoding, compression, sheet.
    """
    form = source.get("format")
    if not form:
        return ""
    told = [FORMAT_TEXTS.get(form, form), DELIMITER_TEXTS.get(source.get("delimiter") or "", "")]
    told += [(source.get("encoding") or "").upper(), source.get("compression") or ""]
    sheet = source.get("sheet")
    told += [f"sheet {visible(sheet)}"] if sheet else []
    return ", ".join(word for word in told if word not in ("", "none"))


def cell_name(line: int, column: int) -> str:
    """Return a cell's name as Excel shows it; both numbers count from 1."""
    return f"{column_letters(column)}{line}"


def column_letters(column: int) -> str:
    """Return the letters of a column, which counts from 1: A for 1, AA for 27."""
    letters = ""
    while column:
        column, letter = divmod(column - 1, 26)
        letters = chr(65 + letter) + letters
    return letters


TABLE_FORMAT = "table"
"""The format, in ``reading``, of a table of the warehouse: its records have ids, but no lines or rows to be found at."""


def place_of(finding: Mapping[str, Any], reading: Mapping[str, Any]) -> str:
    """Return the place of a finding (``row``, ``line``, ``column``, ``id``) in its file; empty if it concerns the whole file.

    ``reading``: how the file was read, as stored in the ledger.
    """
    if reading.get("format") == TABLE_FORMAT:
        return f"record {finding['id']}" if finding.get("id") is not None else ""
    row, line = finding.get("row"), finding.get("line")
    if line is None:
        return record_name(row)
    if reading.get("format") != "xlsx":
        return f"line {line:,}"
    letter = _letters(reading).get(str(finding.get("column") or ""), "")
    return f"{_sheet(reading)}{letter}{line}" if letter else f"{_sheet(reading, ' ')}row {line:,}"


def place_of_record(row: int | None, reading: Mapping[str, Any]) -> str:
    """Return the place of a record in its file by its number; only the number if nothing more is known."""
    return place_of({"row": row, "line": line_of(row, reading)}, reading)


def line_of(row: int | None, reading: Mapping[str, Any]) -> int | None:
    """Return the line, or the row of the sheet, on which a record begins; None if that is not known."""
    lines: Sequence[tuple[int, int | None]] = reading.get("lines") or ()
    if row is None or not lines or reading.get("members", 1) != 1:
        return None
    found = [at for at, (first_row, _) in enumerate(lines) if first_row <= row]
    if not found or (found[-1] == LINES_KEPT - 1):  # after the last stored change there may be more changes
        return None
    first_row, first_line = lines[found[-1]]
    return None if first_line is None else first_line + row - first_row


def record_at(place: str, reading: Mapping[str, Any]) -> int | None:
    """Return the number of the record at ``line 7``, ``row 7``, ``C7`` or ``record 6``; None if the text is no such place."""
    found = _WRITTEN.fullmatch(place.strip())
    if found is None:
        return None
    number = int(found["number"].replace(",", ""))
    if found["what"].lower() == "record ":
        return number
    for first_row, first_line in reversed(reading.get("lines") or ()):
        if first_line is not None and first_line <= number:
            row = int(first_row) + number - int(first_line)
            return row if line_of(row, reading) == number else None
    return None


def record_name(row: int | None) -> str:
    """Return ``record 6``; records count from 1, without the header."""
    return "" if row is None else f"record {row:,}"


def place_and_record(place: str, row: int | None) -> str:
    """Return ``C7 (record 6)``; either part is left out if it is not known."""
    record = record_name(row)
    return f"{place} ({record})" if place and record and place != record else place or record


def place_sql(reading: Mapping[str, Any], *, row: str, line: str, column: str | None = None) -> str:
    """Return ``place_of`` as an SQL expression, from the SQL expressions for row, line and column."""
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


NAMED_MOST = 5
"""So many names are enough to see what is meant."""


def listed(names: Sequence[str], most: int = NAMED_MOST, *, count: int | None = None) -> str:
    """Return ``a, b, c and 1,200 more``; ``count`` is how many there are, if ``names`` are only the first of them."""
    more = (len(names) if count is None else count) - len(names[:most])
    return ", ".join(names[:most]) + (f" and {more:,} more" if more > 0 else "")


def meant(wrong: str, known: Iterable[str]) -> str:
    """Return `` Did you mean max_errors?`` with the known name closest to a wrong one; empty if none is close."""
    by_folded = {name.casefold(): name for name in known}
    found = get_close_matches(wrong.casefold(), by_folded, n=1, cutoff=0.6)
    return f" Did you mean {by_folded[found[0]]}?" if found else ""


def _letters(reading: Mapping[str, Any]) -> dict[str, str]:
    """Return the letter of each column of a workbook, by its name in the file and by its name in the dataset."""
    letters = [str(letter) for letter in reading.get("letters") or ()]
    named = (reading.get("original_columns") or (), reading.get("columns") or ())
    return {str(name): letter for names in named for name, letter in zip(names, letters, strict=False)}


def _sheet(reading: Mapping[str, Any], after: str = "!") -> str:
    """Return the sheet's name before a cell, as Excel writes it; empty if the workbook has only one sheet."""
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
"""Invisible, but part of the spelling in several scripts and of emoji."""


def shortened(text: str, most: int) -> str:
    """Return a text of at most ``most`` characters whole, and a longer one cut there, with an ellipsis."""
    return text if len(text) <= most else f"{text[:most]}…"


def visible(value: object, *, keep: str = "") -> str:
    """Return the value's text with invisible and control characters escaped as in JSON (``\\u001b``)."""
    return "".join(c if c in keep or not _is_hidden(c) else _spelled(c) for c in str(value))


def _is_hidden(character: str) -> bool:
    return not character.isprintable() and character not in _JOINERS and unicodedata.category(character) in _HIDDEN


def _spelled(character: str) -> str:
    if character in _PLAIN_ESCAPES:
        return _PLAIN_ESCAPES[character]
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


_PIECE_CHARACTERS = 16
"""A longer piece of a path may be a secret."""


def masked(text: str) -> str:
    """Return an address without what may be secret: passwords, queries, and long pieces of the path."""
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
