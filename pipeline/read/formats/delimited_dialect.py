"""How the lines of a delimited text are written: the delimiter, the quotes, and what surrounds the values.

DuckDB reads only what CSV allows (`is_fast`). Every other dialect is brought into that form line by line, for Python's csv
module.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from pipeline.errors import InvalidRequest, Unreadable

GAP = "  "
"""The delimiter that stands for two or more spaces."""

BOX = "│"
"""The delimiter of a table that is drawn with box-drawing characters."""

_GAPS = re.compile(" {2,}")
_BARS = str.maketrans("┆║┃", BOX * 3)

STAND_IN = "\x1f"
"""Replaces a delimiter of several characters, or of one that is not ASCII, while a line is parsed."""

_LINE_END = "\r\n"


@dataclass(frozen=True)
class Dialect:
    """How values are separated and quoted.

    ``quote``: None if quotes are data. ``is_wrapped``: each line is one quoted value. ``has_bars``: a bar begins and ends each
    line, or box-drawing characters do. ``edges``: where columns of fixed width begin, by the ruler below their names.
    ``is_trimmed``: spaces beside values are padding. ``is_spaced``: a space follows each delimiter. ``ending``: what ends
    each line, beside the line end. ``closes_up``: spaces between a delimiter and a quoted value are removed.
    """

    delimiter: str
    quote: str | None = '"'
    is_wrapped: bool = False
    has_bars: bool = False
    is_trimmed: bool = False
    is_spaced: bool = False
    ending: str = ""
    edges: tuple[int, ...] = ()

    @property
    def character(self) -> str:
        """Return the one character that separates values once a line is prepared."""
        return self.delimiter if len(self.delimiter.encode()) == 1 and not self.edges else STAND_IN

    @property
    def is_gap(self) -> bool:
        """Return whether two or more spaces separate the values."""
        return self.delimiter == GAP

    @property
    def is_fast(self) -> bool:
        """Return whether DuckDB can read it."""
        odd = self.is_wrapped or self.has_bars or self.is_trimmed or self.is_spaced or self.ending
        return not odd and self.character == self.delimiter and (self.quote or "").isascii()

    def options(self) -> dict[str, Any]:
        """Return the arguments for Python's csv module."""
        quotes = {"quotechar": self.quote} if self.quote else {"quoting": csv.QUOTE_NONE, "quotechar": None}
        return {"delimiter": self.character, "strict": True, "skipinitialspace": self.is_spaced, **quotes}

    def prepared(self, line: str) -> str:
        """Return a line as the csv module reads it. Raises Unreadable if it has the character that replaces the delimiter."""
        if self.delimiter == BOX:
            line = line.translate(_BARS)
        if self.character != self.delimiter:
            if STAND_IN in line:
                raise Unreadable(
                    f"The text contains the character U+{ord(STAND_IN):04X}, so it cannot be split at {self.delimiter!r}.",
                    hint="Remove the character, or export the table with commas.",
                )
            line = self._split(line)
        if not (self.ending or self.has_bars):
            return line
        bare = line.rstrip(_LINE_END)
        end = line[len(bare) :]
        if self.has_bars:
            bare = bare.strip(" \t").removeprefix(self.character).removesuffix(self.character)
        return bare.removesuffix(self.ending) + end

    def _split(self, line: str) -> str:
        """Return the line with STAND_IN between its values."""
        bare = line.rstrip(_LINE_END)
        end = line[len(bare) :]
        if self.edges:
            return (STAND_IN.join(self._cells(bare)) if bare.strip() else "") + end
        if self.is_gap:
            return _GAPS.sub(STAND_IN, bare.strip(" ")) + end
        return line.replace(self.delimiter, STAND_IN)

    def _cells(self, line: str) -> list[str]:
        """Return the values of a line with columns of fixed width; the whole line if a value goes over an edge."""
        if any(line[edge - 1 : edge].strip(" ") for edge in self.edges[1:]):
            return [line]
        return [line[start:end] for start, end in zip(self.edges, (*self.edges[1:], None), strict=True)]

    def finished(self, record: list[str]) -> list[str]:
        """Return the values of a record that was parsed: without padding, and with the delimiter that they contain."""
        if self.is_wrapped and len(record) == 1:
            record = next(csv.reader(record[0].splitlines(keepends=True), delimiter=self.character, strict=True), [])
        if self.is_trimmed:
            record = [value.strip(" \t") for value in record]
        if self.character != self.delimiter and self.quote:
            record = [value.replace(STAND_IN, self.delimiter) for value in record]
        return record

    def records(self, lines: Iterable[str]) -> Iterator[list[str]]:
        """Yield the records of these lines, an empty list for a blank line or a ruler. Raises csv.Error at a fault."""
        for record in csv.reader(map(self.prepared, lines), **self.options()):
            yield self.finished(record)


def check_marks(delimiter: str | None, quote: str | None) -> None:
    """Check what an upload says about a text. Raises InvalidRequest."""
    if delimiter is not None and (not 1 <= len(delimiter) <= 8 or any(character in '"\r\n\0' for character in delimiter)):
        raise InvalidRequest(
            f"{delimiter!r} cannot be the delimiter: it is 1 to 8 characters, without a double quote or a line end."
        )
    if quote is not None and quote != "none" and (len(quote) != 1 or quote.isalnum() or quote in "\r\n\0 \t"):
        raise InvalidRequest(f"{quote!r} cannot be the quote character: it is one character, or none if quotes are data.")
    if delimiter and quote and quote != "none" and quote in delimiter:
        raise InvalidRequest(f"{quote!r} cannot be both in the delimiter and the quote character.")


def say_delimiter(delimiter: str) -> str:
    """Return a delimiter as a message names it."""
    names = {"\t": "tabs", ",": "commas", ";": "semicolons", "|": "bars", " ": "spaces", GAP: "several spaces", BOX: "lines"}
    return names.get(delimiter) or repr(delimiter)


def asked_delimiter(delimiter: str) -> str:
    """Return the option that says a delimiter."""
    names = {"\t": "tab", ",": "comma", ";": "semicolon", "|": "pipe", " ": "space", GAP: "spaces"}
    shown = names.get(delimiter) or (delimiter if delimiter.isprintable() and " " not in delimiter else repr(delimiter))
    return f"delimiter={shown}"
