"""Units of size in bytes, and lengths of time as people write them."""

from __future__ import annotations

import re
from datetime import timedelta

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30

_UNITS = {"": "seconds", "s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
LONGEST = timedelta(days=100 * 365)


def duration(text: str) -> timedelta | None:
    """Return ``90`` (seconds), ``15m``, ``36h``, ``7d`` or ``2w`` as a duration; None if it is no such text.

    Raises ValueError for more than a hundred years.
    """
    written = re.fullmatch(r"([0-9]{1,12}) *([smhdw]?)", text.strip().lower())
    if written is None:
        return None
    seconds = int(written[1]) * timedelta(**{_UNITS[written[2]]: 1}).total_seconds()
    if seconds > LONGEST.total_seconds():
        raise ValueError(f"{text!r} is more than a hundred years")
    return timedelta(seconds=seconds)


def length_of_time(text: str, *, endless: str) -> timedelta | None:
    """Return a duration as ``duration`` does, and the word ``endless`` as None. Raises ValueError with what can be written."""
    if text.strip().lower() == endless:
        return None
    try:
        written = duration(text)
    except ValueError as error:
        raise ValueError(f"{error}: write {endless}") from error
    if written is None:
        raise ValueError(f"{text!r} is not a time: write 0, 90 (seconds), 15m, 36h, 7d, 2w or {endless}")
    return written


SHORTEST_PERIOD = timedelta(minutes=1)


def audit_period(text: str) -> timedelta | None:
    """Return how often a dataset is audited, ``never`` as None. Raises ValueError; a minute is the shortest period."""
    period = length_of_time(text, endless="never")
    if period is not None and period < SHORTEST_PERIOD:
        raise ValueError(f"{text!r} is less than a minute: write 1m or more, or never")
    return period
