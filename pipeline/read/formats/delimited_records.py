"""Parse a delimited text record by record with Python's csv module, with a fault instead of a record that cannot be parsed."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from typing import TextIO

from pipeline.errors import Unreadable
from pipeline.read.formats.delimited_dialect import Dialect
from pipeline.read.limits import Limits


class RecordFault:
    """Why a record is malformed."""

    def __init__(self, message: str, hint: str, value: str | None = None) -> None:
        self.message, self.hint, self.value = message, hint, value


class RecordLines:
    """The lines of a text, none longer than a record may be; it remembers those of the current record."""

    def __init__(self, file: TextIO, limits: Limits, before: int = 0) -> None:
        self._file, self._most = file, limits.record_bytes
        self.number = before  # lines that precede the file
        self.marks = self.first_mark = 0  # lines within the text that began with a byte order mark, and the first of them
        self.begin()

    def begin(self) -> None:
        """Start a record with the next line."""
        self.first, self._pieces, self._size = self.number + 1, list[str](), 0

    @property
    def text(self) -> str:
        """Return the current record as it is in the file, with its line ends."""
        return "".join(self._pieces)

    def __iter__(self) -> Iterator[str]:
        """Yield line by line, without the mark with which DOS ended a text (Ctrl-Z)."""
        while line := self._file.readline(self._most + 1):
            self.number += 1
            if line[0] == "\0" and not line.strip("\0\r\n"):
                raise Unreadable(
                    f"Line {self.number} is nothing but NUL characters: this is a binary or truncated copy of the file.",
                    hint="Upload it again, from where it is whole.",
                    line=self.number,
                )
            self._size += len(line)
            if self._size > self._most:
                raise _too_long(self.first, self._most)
            if line[0] == "\ufeff" and self.number > 1:
                line = line.lstrip("\ufeff")
                self.marks, self.first_mark = self.marks + 1, self.first_mark or self.number
            ended = line.removesuffix("\x1a")
            self._pieces.append(ended)
            if ended:
                yield ended


def _too_long(line: int, most: int) -> Unreadable:
    return Unreadable(
        f"The record that begins on line {line} is longer than {most:,} bytes;"
        " perhaps a quote is opened there and never closed.",
        code="value_too_long",
        hint="Close the quote, or shorten the record.",
        line=line,
    )


class SpacedQuotes:
    """Removes spaces between a delimiter and a value in quotes, if that ends on the same line. Counts what it changes.

    ``left`` counts the values that begin with a space and a quote and stay as they are.
    """

    def __init__(self, dialect: Dialect) -> None:
        mark, quote = re.escape(dialect.character), re.escape(dialect.quote or '"')
        within = f"{quote}(?:[^{quote}]|{quote}{quote})*{quote}"
        self._quoted = re.compile(rf"{within}(?={mark}|[\r\n]|$)")
        self._spaced = re.compile(rf" +({within})(?={mark}|[\r\n]|$)")
        self._plain = re.compile(rf"[^{mark}]*")
        self._mark, self._quote = dialect.character, dialect.quote or '"'
        self._inside = False  # a value that goes on from the last line
        self.changed = self.left = 0

    def closed_up(self, line: str) -> str:
        """Return the line without such spaces."""
        if self._inside or f" {self._quote}" not in line:
            self._inside ^= bool(line.count(self._quote) % 2)
            return line
        pieces, at = list[str](), 0
        while at <= len(line):
            at = self._take(line, at, pieces)
            if line[at : at + 1] != self._mark:
                break
            pieces.append(self._mark)
            at += 1
        pieces.append(line[at:])
        return "".join(pieces)

    def _take(self, line: str, at: int, pieces: list[str]) -> int:
        """Add the value that begins at ``at``; return where it ends."""
        if spaced := self._spaced.match(line, at):
            self.changed += 1
            pieces.append(spaced[1])
            return spaced.end()
        if quoted := self._quoted.match(line, at):
            pieces.append(quoted[0])
            return quoted.end()
        if line.startswith(self._quote, at):
            self._inside = line.count(self._quote, at) % 2 == 1
            pieces.append(line[at:])
            return len(line)
        plain = self._plain.match(line, at)
        assert plain
        self.left += plain[0].lstrip(" ").startswith(self._quote)
        pieces.append(plain[0])
        return plain.end()


def records(
    lines: RecordLines, dialect: Dialect, limits: Limits, spaced: SpacedQuotes | None = None
) -> Iterator[tuple[int, list[str] | RecordFault]]:
    """Yield (line, record) for each record with any field."""
    prepared = map(dialect.prepared, lines)
    reader = csv.reader(map(spaced.closed_up, prepared) if spaced else prepared, **dialect.options())
    while True:
        lines.begin()
        line = lines.first
        try:
            record = dialect.finished(next(reader))
        except StopIteration:
            return
        except csv.Error as error:
            yield line, _csv_fault(str(error), line, limits)
            continue
        if record:
            yield line, record


def _csv_fault(error: str, line: int, limits: Limits) -> RecordFault:
    """Return the fault for an error of Python's csv module. Raises Unreadable for an unclosed quote: it hides the rest."""
    if "unexpected end of data" in error:
        raise Unreadable(
            f"A quote is opened in the record that begins on line {line}, and never closed.",
            code="malformed_row",
            hint="Close it. A quote inside a quoted value is written twice. If quotes are part of the values, say quote=none.",
            line=line,
        )
    if "field larger" in error:
        raise Unreadable(
            f"The record that begins on line {line} contains a value of more than {limits.value_bytes:,} bytes;"
            " perhaps a quote is opened there and never closed.",
            code="value_too_long",
            hint="Close the quote, or shorten the value.",
            line=line,
        )
    return RecordFault(
        "There is text after the closing quote of a value.",
        "A quote inside a quoted value is written twice, not with \\. If quotes are part of the values, say quote=none.",
    )


def wrong_width(record: list[str], width: int, delimiter: str, line: int) -> RecordFault:
    """Return the fault of a record that has more or fewer values than the header."""
    found = len(record)
    less = "A value is missing." if found < width else f"A value that contains {delimiter!r} must be in quotes."
    if found == 1 < width:
        less += f' If the line is no record, leave it out: clean={{"skip_rows": [{line}]}}.'
    fields = "field" if found == 1 else "fields"
    return RecordFault(f"The record has {found} {fields}; the header has {width}.", less, delimiter.join(record))
