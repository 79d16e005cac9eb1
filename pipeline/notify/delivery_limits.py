"""Backpressure for messages: at most so many concurrent attempts per host and per dataset, and a backoff for hosts that hang.

A message without a slot does not occupy a thread while it waits: Busy says when to try again. These times are spread out as
slots become free, so that five hundred messages to a dead host cost a few attempts a minute, and no threads in between.
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
"""A failed attempt that took longer than this counts as hanging; a quick refusal does not delay other messages."""

PAUSE_SECONDS = 15.0
PAUSE_SECONDS_MAX = 600.0
"""The backoff of a host after a hanging attempt: the first value, doubled with each further one in a row, up to the second."""

WAIT_SECONDS_MIN = 1.0
WAIT_SECONDS_MAX = 1800.0
"""The shortest and the longest time that a message is postponed by at once."""

Key = tuple[object, ...]
"""Identifies a host or a dataset."""

IDLE_MAX = 1000
"""The number of hosts and datasets whose state is kept while they have no attempts."""


@dataclass
class _Slots:
    """The concurrent attempts to one host, or for one dataset. Times are seconds of a monotonic clock."""

    limit: int
    busy: int = 0
    seconds: float = 1.0  # the average duration of recent attempts
    hung: int = 0  # hanging attempts in a row
    opens_at: float = 0.0
    next_at: float = 0.0  # when the last postponed message tries again

    def has_slot(self, now: float, *, asked: bool) -> bool:
        """Return whether an attempt may start: one at a time if the host hangs; a user who ``asked`` skips the backoff."""
        if self.hung and not asked:
            return now >= self.opens_at and not self.busy
        return self.busy < self.limit

    def postpone(self, now: float) -> float:
        """Postpone one more message, and return the seconds until a slot should be free."""
        self.next_at = max(self.next_at, self.opens_at, now) + self.seconds / (1 if self.hung else self.limit)
        wait = self.next_at - now
        if wait > WAIT_SECONDS_MAX:
            self.next_at = now + WAIT_SECONDS_MAX
            return random.uniform(WAIT_SECONDS_MAX / 2, WAIT_SECONDS_MAX)
        return max(wait, WAIT_SECONDS_MIN)

    def done(self, began: float, now: float, *, failed: bool) -> None:
        """Record the end of an attempt; a host that hangs gets a backoff."""
        self.busy -= 1
        self.seconds = 0.5 * self.seconds + 0.5 * (now - began)
        self.hung = self.hung + 1 if failed and now - began > SLOW_SECONDS else 0
        self.opens_at = now + min(PAUSE_SECONDS * 2 ** (self.hung - 1), PAUSE_SECONDS_MAX) if self.hung else now

    def is_idle(self, now: float) -> bool:
        """Return whether the state can be dropped without losing anything."""
        return not self.busy and now >= max(self.opens_at, self.next_at)


class DeliveryLimits:
    """The slots of one worker. Safe to share between threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._slots: dict[Key, _Slots] = {}

    @contextmanager
    def slot(self, host: Key, others: Mapping[Key, int], *, at_host: int, asked: bool = False) -> Iterator[None]:
        """Hold one of ``at_host`` slots of the host, and one slot of each of ``others``, whose limits are its values.

        Raises Busy at once if one of them has no free slot; its ``wait_seconds`` says when to try again. A slow Unreachable
        raised in the block counts as a hanging attempt of the host.
        """
        began, failed = self._clock(), False
        with self._lock:
            slots = self._enter(began, {host: at_host, **others}, asked=asked)
        try:
            yield
        except Unreachable:
            failed = True
            raise
        finally:
            with self._lock:
                now = self._clock()
                for number, one in enumerate(slots):
                    one.done(began, now, failed=failed and number == 0)

    def _enter(self, now: float, limits: Mapping[Key, int], *, asked: bool) -> list[_Slots]:
        if len(self._slots) > IDLE_MAX:
            self._slots = {key: one for key, one in self._slots.items() if not one.is_idle(now)}
        slots = [self._slots.setdefault(key, _Slots(limit)) for key, limit in limits.items()]
        full = [one for one in slots if not one.has_slot(now, asked=asked)]
        if full:
            busy = Busy()
            busy.wait_seconds = max(one.postpone(now) for one in full)
            raise busy
        for one in slots:
            one.busy += 1
        return slots
