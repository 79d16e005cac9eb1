"""What a check finds: nothing wrong, something doubtful, or something wrong, and what to do about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pipeline.errors import NotReady
from pipeline.settings import Settings

OK, WARN, FAIL = "ok", "warn", "fail"

ANSWER_SECONDS = 5.0
"""How long a check waits for one answer of a server."""

CLOCK_SECONDS_MAX = 5.0
"""Clocks that differ by more make signatures fail, and leases and schedules end at the wrong time."""


@dataclass(frozen=True)
class Result:
    """The result of one check. ``mend`` says how to fix a fault; it is empty if there is none. A warning is ``ok``."""

    name: str
    ok: bool
    detail: str
    mend: str = ""
    state: str = OK
    where: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return it as one object of `bulkhead doctor --json`."""
        return dict(vars(self))


class Wrong(NotReady):
    """A check failed: what is wrong (``detail``), and how to fix it (``mend``)."""

    state = FAIL

    def __init__(self, detail: str, mend: str) -> None:
        super().__init__(detail)
        self.mend = mend


class Doubtful(Wrong):
    """Something works, but may not always, or is not safe."""

    state = WARN


Check = Callable[[Settings], str]
"""Returns what it found, or raises Wrong or Doubtful."""


@dataclass(frozen=True)
class Probe:
    """A check with its name, and the place that it looks at. ``after``: the check that must have ended before it begins."""

    name: str
    check: Check
    where: Callable[[Settings], str] = lambda settings: ""
    after: str = ""


def clock_difference(there: datetime | None, before: datetime, after: datetime, whose: str) -> str:
    """Return how far a server's clock is from ours, which was ``before`` and ``after`` it told its time.

    Raises Doubtful if that is too far. An HTTP date has whole seconds, so a difference below one is none.
    """
    if there is None:
        return ""
    seconds = max((before - there).total_seconds(), (there - after).total_seconds(), 0.0)
    if seconds > CLOCK_SECONDS_MAX:
        raise Doubtful(
            f"the clock of {whose} differs from this machine's by {seconds:,.0f} s",
            "Synchronise both clocks, by NTP for instance.",
        )
    return "same time" if seconds < 1 else f"clocks {seconds:.0f} s apart"
