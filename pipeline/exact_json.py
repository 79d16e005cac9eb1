"""Read JSON with every digit of its numbers, and recognise keys that appear twice in one object.

Python's own parser turns each number with a point into a double, and keeps the last of two values with one key.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

INT_DIGITS = 18
"""A whole number with at most this many digits is read as an int."""


class ExactNumber(float):
    """A number with the text that it was read from, which is also written."""

    text: str

    def __new__(cls, text: str) -> ExactNumber:
        """Read a JSON number; one that is too large for a double is infinite in calculations."""
        number = super().__new__(cls, text)
        number.text = text
        return number

    def __str__(self) -> str:
        """Return the text that it was read from."""
        return self.text

    __repr__ = __str__

    def __reduce__(self) -> tuple[type[ExactNumber], tuple[str]]:
        """Copy the number with its text."""
        return ExactNumber, (self.text,)


def loads(text: str | bytes) -> Any:
    """Read a JSON text; numbers with a point, or with more than INT_DIGITS digits, become ExactNumber."""
    return json.loads(text, parse_float=ExactNumber, parse_int=_whole)


def _whole(text: str) -> int | ExactNumber:
    return int(text) if len(text) <= INT_DIGITS else ExactNumber(text)


# --- Duplicate keys ---


class DuplicateKeys(dict[str, Any]):
    """An object in which ``key`` appears twice; ``key`` is empty if it is not known which one."""

    def __init__(self, members: list[tuple[str, Any]], key: str) -> None:
        super().__init__(members)
        self.key = key


def object_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object of its members, for ``object_pairs_hook``."""
    record = dict(pairs)
    if len(record) == len(pairs):
        return record
    seen = set[str]()
    for key, _ in pairs:
        if key in seen:
            break
        seen.add(key)
    return DuplicateKeys(pairs, key)


def duplicate_key_in(value: Any, place: str = "") -> tuple[str, str] | None:
    """Return the first key that appears twice in an object within ``value``, and the path of that object, such as ``a.b[2]``.

    ``value`` is nested no deeper than Python's stack allows.
    """
    if isinstance(value, DuplicateKeys):
        return value.key, place
    inner: Iterator[tuple[str, Any]] = iter(())
    if isinstance(value, dict):
        inner = ((f"{place}.{key}", one) for key, one in value.items())
    elif isinstance(value, list):
        inner = ((f"{place}[{number}]", one) for number, one in enumerate(value))
    found = (duplicate_key_in(one, where) for where, one in inner if isinstance(one, dict | list))
    return next((one for one in found if one), None)


def duplicate_key_in_text(text: str, place: str = "") -> tuple[str, str] | None:
    """Return the same for a JSON text; None also for one that is not JSON."""
    try:
        return duplicate_key_in(json.loads(text, object_pairs_hook=object_of, parse_int=str, parse_float=str), place)
    except (ValueError, RecursionError):
        return None


def duplicate_key_message(key: str, place: str) -> str:
    """Return a message that names the duplicate key and its object."""
    return f"The key {key[:60]!r} appears twice in {place[-120:]}.".encode(errors="backslashreplace").decode()
