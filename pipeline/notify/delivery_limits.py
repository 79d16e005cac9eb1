"""How many messages may be under way at once, to one receiving host and for one dataset; with a backoff for hosts that hang.

A message that finds no place holds no thread while it waits: it is told when to come again. These times are spread as places
become free, so that five hundred messages to a dead host cost a few attempts a minute, and no thread in between.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from pipeline.errors import Busy, Unreachable

SLOW_SECONDS = 3.0
"""A failed attempt that took longer than this has hung; a quick refusal holds nothing up."""

PAUSE_SECONDS = 15.0
PAUSE_SECONDS_MAX = 600.0
"""The backoff of a host after an attempt that hung: the first value, doubled with each more in a row, up to the second."""

WAIT_SECONDS_MIN = 1.0
WAIT_SECONDS_MAX = 1800.0
"""The shortest and the longest time that a message is put off for at once."""

Key = tuple[object, ...]
"""What names a host or a dataset."""

LINES_MAX = 1000
"""Hosts and datasets that are remembered while nothing is under way for them."""


@dataclass
class _Line:
    """What is under way to one host, or for one dataset. Times are of a monotonic clock, in seconds."""

    limit: int
    busy: int = 0
    seconds: float = 1.0  # that an attempt has taken of late
    hung: int = 0  # attempts in a row
    opens_at: float = 0.0
    next_at: float = 0.0  # when the last message that was put off comes again

    def has_place(self, now: float, *, asked: bool) -> bool:
        """One attempt at a time while the host hangs; where a person has ``asked``, it is not left alone first."""
        if self.hung and not asked:
            return now >= self.opens_at and not self.busy
        return self.busy < self.limit

    def put_off(self, now: float) -> float:
        """How many seconds until one more message should find a place."""
        self.next_at = max(self.next_at, self.opens_at, now) + self.seconds / (1 if self.hung else self.limit)
        wait = self.next_at - now
        if wait > WAIT_SECONDS_MAX:
            self.next_at = now + WAIT_SECONDS_MAX
            return random.uniform(WAIT_SECONDS_MAX / 2, WAIT_SECONDS_MAX)
        return max(wait, WAIT_SECONDS_MIN)

    def done(self, began: float, now: float, *, failed: bool) -> None:
        """Note how an attempt ended, and leave a host that hangs alone."""
        self.busy -= 1
        self.seconds = 0.5 * self.seconds + 0.5 * (now - began)
        self.hung = self.hung + 1 if failed and now - began > SLOW_SECONDS else 0
        self.opens_at = now + min(PAUSE_SECONDS * 2 ** (self.hung - 1), PAUSE_SECONDS_MAX) if self.hung else now

    def is_idle(self, now: float) -> bool:
        """Nothing would be lost if it were forgotten."""
        return not self.busy and now >= max(self.opens_at, self.next_at)


class Limits:
    """One worker's. Safe to share between threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._lines: dict[Key, _Line] = {}

    @contextmanager
    def place(self, host: Key, others: Mapping[Key, int], *, at_host: int, asked: bool = False) -> Iterator[None]:
        """Hold one of ``at_host`` places at the host, and one of as many as ``others`` says in each line there.

        Raises Busy, at once, if there is none; its ``wait_seconds`` says when to come again. An Unreachable that is raised
        within, after a while, counts against the host.
        """
        began, failed = self._clock(), False
        with self._lock:
            lines = self._enter(began, {host: at_host, **others}, asked=asked)
        try:
            yield
        except Unreachable:
            failed = True
            raise
        finally:
            with self._lock:
                now = self._clock()
                for number, line in enumerate(lines):
                    line.done(began, now, failed=failed and number == 0)

    def _enter(self, now: float, limits: Mapping[Key, int], *, asked: bool) -> list[_Line]:
        if len(self._lines) > LINES_MAX:
            self._lines = {key: line for key, line in self._lines.items() if not line.is_idle(now)}
        lines = [self._lines.setdefault(key, _Line(limit)) for key, limit in limits.items()]
        full = [line for line in lines if not line.has_place(now, asked=asked)]
        if full:
            busy = Busy()
            busy.wait_seconds = max(line.put_off(now) for line in full)
            raise busy
        for line in lines:
            line.busy += 1
        return lines
