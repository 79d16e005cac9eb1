"""A JSON text, read value by value, strictly: numbers as they are written, no NaN, and a key that stands twice is noticed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NoReturn

from pipeline.errors import Unreadable
from pipeline.exact_json import Twice, members_of
from pipeline.read.limits import Limits

_BLANK = " \t\r\n"


class Number(str):
    """A number as the file spells it."""


class Text:
    """A text that is read value by value; only the part that is being looked at is in memory."""

    def __init__(self, chunks: Iterator[bytes], limits: Limits) -> None:
        self._chunks = chunks
        self.limits = limits
        self._buffer = ""
        self._at = 0
        self.line = 1
        self.rows = 0
        self.longest_bytes = 0
        self.taken = 0  # characters of the last value
        self._decode = json.JSONDecoder(
            object_pairs_hook=members_of, parse_int=Number, parse_float=Number, parse_constant=_no_constant
        ).raw_decode

    def peek(self) -> str:
        """The next character that is not blank; empty at the end."""
        while True:
            while self._at < len(self._buffer) and self._buffer[self._at] in _BLANK:
                self.line += self._buffer[self._at] == "\n"
                self._at += 1
            if self._at < len(self._buffer):
                return self._buffer[self._at]
            if not self._more():
                return ""

    def expect(self, character: str) -> None:
        """Pass over ``character``, which comes next."""
        if not self.peek():
            raise self._cut_off()
        if self.peek() != character:
            raise self.broken(f"expected {character!r}, found {self.peek()!r}")
        self._at += 1

    def value(self) -> Any:
        """The next value. One that does not fit into what is in memory is tried again with more of the text."""
        self.peek()
        while True:
            try:
                value, end = self._decode(self._buffer, self._at)
            except json.JSONDecodeError as error:
                self._make_sense_of(error)
                continue
            except RecursionError:
                raise self.broken(f"values are nested more than {self.limits.nesting} deep") from None
            if end == len(self._buffer) and self._more():  # a number may go on
                continue
            if end - self._at > self.limits.record_bytes:
                raise self.broken(f"a record is longer than {self.limits.record_bytes:,} bytes")
            self.longest_bytes = max(self.longest_bytes, 4 * (end - self._at))  # at most: UTF-8 takes four a character
            self.line += self._buffer.count("\n", self._at, end)
            self.taken, self._at = end - self._at, end
            return value

    def _make_sense_of(self, error: json.JSONDecodeError) -> None:
        """Get more text if that can help."""
        left, position = len(self._buffer) - self._at, error.pos - self._at
        if left > self.limits.record_bytes:
            raise self.broken(f"a record is longer than {self.limits.record_bytes:,} bytes, or is not JSON: {error.msg}")
        if self._more():
            return
        if position >= len(self._buffer.rstrip()) or error.msg.startswith("Unterminated"):
            raise self._cut_off()
        self.line += self._buffer.count("\n", 0, max(position, 0))
        raise self.broken(error.msg)

    def next_row(self) -> int:
        """The number of the record that begins here."""
        self.rows += 1
        return self.rows

    def gathered(self, members: list[tuple[str, Any]], *, twice: bool = False) -> dict[str, Any]:
        """The record of these members; ``twice``: a key that is not among them stood there twice."""
        return Twice(members, "") if twice else members_of(members)

    def _cut_off(self) -> Unreadable:
        return Unreadable(
            f"The JSON ends in the middle of the record that begins on line {self.line}.",
            hint="Upload the file again: it was cut on its way.",
            line=self.line,
        )

    def broken(self, why: str) -> Unreadable:
        """The refusal of a text that is not JSON here."""
        return Unreadable(
            f"The file is not valid JSON at line {self.line}: {why}.",
            hint="Write an array of records, or one record a line.",
            line=self.line,
        )

    def _more(self) -> bool:
        chunk = next(self._chunks, b"")
        self._buffer = self._buffer[self._at :] + chunk.decode()
        self._at = 0
        return bool(chunk)


def _no_constant(name: str) -> NoReturn:
    raise json.JSONDecodeError(f"{name} is not JSON", "", 0)
