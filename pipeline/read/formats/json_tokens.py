"""Read a JSON text value by value, strictly: numbers as they are written, no NaN, and keys that appear twice are recognised."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NoReturn

from pipeline.errors import Unreadable
from pipeline.exact_json import DuplicateKeys, object_of
from pipeline.read.formats.json_mistakes import COMMA_TOO_MANY, explanation
from pipeline.read.limits import Limits

_BLANK = " \t\r\n"
_MARKS = "\ufeff\x1e"
"""A byte order mark where files were joined, and the record separator of JSON text sequences (RFC 7464)."""
_OF_LONG = (
    "If it holds the records, say where they are (records_at, for instance data.items) or how they are nested"
    ' (shape={"children": "items"}, for instance).'
)
_LONGEST_TOKEN = 64  # characters before the end of the text in memory where an error may only mean that a token is cut


_PLAIN_MEMBER = re.compile(
    r"""(?P<blank>[ \t\r\n]*)"(?P<key>[^"\\\x00-\x1f]*)"(?P<inner>[ \t\r\n]*:[ \t\r\n]*)"""
    r"""(?P<value>"(?P<text>[^"\\\x00-\x1f]*)"|(?P<number>-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)(?=[,}\s]))"""
)


class Number(str):
    """A number as it is written in the file."""


class JsonReader:
    """Reads a text value by value; only the part that is being read is in memory."""

    def __init__(self, chunks: Iterator[bytes], limits: Limits) -> None:
        self._chunks = chunks
        self.limits = limits
        self._buffer = ""
        self._at = 0
        self.line = 1
        self.rows = 0
        self.longest_bytes = 0
        self.has_marks = False  # before values
        self.taken = 0  # characters of the last value
        self._decode = json.JSONDecoder(
            object_pairs_hook=object_of, parse_int=Number, parse_float=Number, parse_constant=_no_constant
        ).raw_decode

    def peek(self) -> str:
        """Return the next character that is not white space, without reading it; empty at the end."""
        if self._at < len(self._buffer) and (character := self._buffer[self._at]) > " ":
            return character  # as almost always
        while True:
            while self._at < len(self._buffer) and self._buffer[self._at] in _BLANK:
                self.line += self._buffer[self._at] == "\n"
                self._at += 1
            if self._at < len(self._buffer):
                if self._buffer[self._at] not in _MARKS:
                    return self._buffer[self._at]
                self._at, self.has_marks = self._at + 1, True
                continue
            if not self._more():
                return ""

    def expect(self, character: str) -> None:
        """Read ``character``. Raises Unreadable if another one comes next."""
        found = self.peek()
        if found == character:
            self._at += 1
        elif not found:
            raise self._truncated()
        else:
            raise self.broken(f"expected {character!r}, found {found!r}")

    def expect_comma(self, closing: str) -> None:
        """Read a comma. Raises Unreadable if it is not there, or ``closing`` follows it."""
        self.expect(",")
        if self.peek() == closing:
            raise self.broken(*COMMA_TOO_MANY)

    def plain_member(self) -> tuple[str, str] | None:
        """Return the next key and its value if that is a text without escapes or a number, and both are whole in memory.

        Otherwise nothing is read. Most members of most files are such, and this takes a third of the time.
        """
        found = _PLAIN_MEMBER.match(self._buffer, self._at)
        if found is None:
            return None
        start, end = found.span("value")
        size = end - start
        self.longest_bytes = max(self.longest_bytes, 4 * size)
        if size > self.limits.record_bytes:
            return None
        if "\n" in found["blank"]:
            self.line += found["blank"].count("\n")
        if "\n" in found["inner"]:
            self.line += found["inner"].count("\n")
        self.taken, self._at = size, end
        text = found["text"]
        return found["key"], Number(found["number"]) if text is None else text

    def comma(self) -> bool:
        """Read a comma if it comes next."""
        is_there = self.peek() == ","
        self._at += is_there
        return is_there

    def value(self) -> Any:
        """Return the next value; if the text in memory ends within it, parse it again with more of the text."""
        self.peek()
        while True:
            try:
                value, end = self._decode(self._buffer, self._at)
            except json.JSONDecodeError as error:
                self._read_more(error)
                continue
            except RecursionError:
                raise self.broken(f"values are nested more than {self.limits.nesting} deep") from None
            if end == len(self._buffer) and self._more():  # a number may go on
                continue
            if end - self._at > self.limits.record_bytes:
                raise self.broken(f"a record is longer than {self.limits.record_bytes:,} bytes", _OF_LONG)
            self.longest_bytes = max(self.longest_bytes, 4 * (end - self._at))  # at most: UTF-8 takes four a character
            self.line += self._buffer.count("\n", self._at, end)
            self.taken, self._at = end - self._at, end
            return value

    def _read_more(self, error: json.JSONDecodeError) -> None:
        """Read more text if that can help, else raise Unreadable."""
        left, position = len(self._buffer) - self._at, max(error.pos - self._at, 0)
        is_unterminated = error.msg.startswith("Unterminated")
        is_certain = error.pos < len(self._buffer.rstrip()) - _LONGEST_TOKEN and not is_unterminated
        if not is_certain:
            if left > self.limits.record_bytes:
                raise self.broken(
                    f"a record is longer than {self.limits.record_bytes:,} bytes, or is not JSON: {error.msg}", _OF_LONG
                )
            if self._more():
                return
            if position >= len(self._buffer.rstrip()) or is_unterminated:
                raise self._truncated()
        rest = self._buffer[-left:]
        why, hint = explanation(rest, position, error.msg)
        self.line += rest.count("\n", 0, position)
        raise self.broken(why, hint)

    def next_row(self) -> int:
        """Return the number of the record that begins here."""
        self.rows += 1
        return self.rows

    def object_with(self, members: list[tuple[str, Any]], *, twice: bool = False) -> dict[str, Any]:
        """Return the object of these members; ``twice``: a key that is not among them appeared twice."""
        return DuplicateKeys(members, "") if twice else object_of(members)

    def _truncated(self) -> Unreadable:
        return Unreadable(
            f"The JSON ends in the middle of the record that begins on line {self.line}.",
            hint="Upload the file again: it is incomplete.",
            line=self.line,
        )

    def broken(self, why: str, hint: str = "Write an array of records, or one record a line.") -> Unreadable:
        """Return the error about a text that is not valid JSON here."""
        return Unreadable(f"The file is not valid JSON at line {self.line}: {why}.", hint=hint, line=self.line)

    def opening(self, size: int) -> str:
        """Return the text from here, at least ``size`` characters if it has so many; nothing of it is read."""
        self.peek()
        while len(self._buffer) - self._at < size and self._more():
            pass
        return self._buffer[self._at : self._at + size]

    def first_object(self) -> Any:
        """Return the value that comes next, or the first of the array that comes next, if it is whole in memory; else None."""
        opens = self.peek()
        at = self._at
        if opens == "[":
            at += 1
            while at < len(self._buffer) and self._buffer[at] in _BLANK:
                at += 1
        try:
            return self._decode(self._buffer, at)[0]
        except (ValueError, RecursionError):
            return None

    def _more(self) -> bool:
        chunk = next(self._chunks, b"")
        self._buffer = self._buffer[self._at :] + chunk.decode()
        self._at = 0
        return bool(chunk)


def _no_constant(name: str) -> NoReturn:
    raise json.JSONDecodeError(f"{name} is not JSON", "", 0)
