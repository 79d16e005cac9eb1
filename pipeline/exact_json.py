"""JSON whose numbers keep every digit and whose objects tell when a key stands twice.

Python's own parser makes a double of each number with a point, and keeps the last of two values under one key.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

INT_DIGITS = 18
"""A whole number with so many digits at most is read as an int."""


class Spelled(float):
    """A number with the spelling that it was read in, in which it is written again."""

    text: str

    def __new__(cls, text: str) -> Spelled:
        """Read a JSON number; one that is too large for a double is infinite in calculations."""
        number = super().__new__(cls, text)
        number.text = text
        return number

    def __str__(self) -> str:
        """Spell it as it was read."""
        return self.text

    __repr__ = __str__

    def __reduce__(self) -> tuple[type[Spelled], tuple[str]]:
        """Copy it with its spelling."""
        return Spelled, (self.text,)


def loads(text: str | bytes) -> Any:
    """Read a JSON text; numbers with a point or more digits than an int is sure to hold everywhere are Spelled."""
    return json.loads(text, parse_float=Spelled, parse_int=_whole)


def _whole(text: str) -> int | Spelled:
    return int(text) if len(text) <= INT_DIGITS else Spelled(text)


# --- Keys that stand twice ---


class Twice(dict[str, Any]):
    """An object in which ``key`` stands twice; empty if it is not known which."""

    def __init__(self, members: list[tuple[str, Any]], key: str) -> None:
        super().__init__(members)
        self.key = key


def members_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object of its members, for ``object_pairs_hook``."""
    record = dict(pairs)
    if len(record) == len(pairs):
        return record
    met = set[str]()
    for key, _ in pairs:
        if key in met:
            break
        met.add(key)
    return Twice(pairs, key)


def twice_within(value: Any, place: str = "") -> tuple[str, str] | None:
    """The first key that stands twice in an object within ``value``, and the place of that object, such as ``a.b[2]``.

    ``value`` is nested no deeper than Python's stack allows.
    """
    if isinstance(value, Twice):
        return value.key, place
    inner: Iterator[tuple[str, Any]] = iter(())
    if isinstance(value, dict):
        inner = ((f"{place}.{key}", one) for key, one in value.items())
    elif isinstance(value, list):
        inner = ((f"{place}[{number}]", one) for number, one in enumerate(value))
    found = (twice_within(one, where) for where, one in inner if isinstance(one, dict | list))
    return next((one for one in found if one), None)


def twice_in(text: str, place: str = "") -> tuple[str, str] | None:
    """The same of a JSON text; None also of one that is not JSON."""
    try:
        return twice_within(json.loads(text, object_pairs_hook=members_of, parse_int=str, parse_float=str), place)
    except (ValueError, RecursionError):
        return None


def twice_message(key: str, place: str) -> str:
    """Say which key stands twice, and where."""
    return f"The key {key[:60]!r} stands twice in {place[-120:]}.".encode(errors="backslashreplace").decode()
