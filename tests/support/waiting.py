"""Wait until a condition comes true."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator

PAUSE_MIN, PAUSE_MAX, PAUSE_SHARE = 0.02, 0.5, 0.1
"""A pause is a tenth of the wait so far: what is quick is seen at once, and what is slow is not asked twenty times a second."""


def pauses(seconds: float) -> Iterator[float]:
    """Return for how long to pause before looking again, again and again for ``seconds``."""
    began = time.monotonic()
    while (waited := time.monotonic() - began) < seconds:
        yield min(PAUSE_MAX, max(PAUSE_MIN, waited * PAUSE_SHARE))


def wait_until(true: Callable[[], bool], seconds: float = 180.0) -> None:
    """Wait until ``true`` returns True; fail after ``seconds``."""
    for pause in pauses(seconds):
        if true():
            return
        time.sleep(pause)
    assert true(), f"not within {seconds} s"


async def wait_until_async(true: Callable[[], bool], seconds: float = 180.0) -> None:
    """Wait until ``true`` returns True while other coroutines run; fail after ``seconds``."""
    for pause in pauses(seconds):
        if true():
            return
        await asyncio.sleep(pause)
    assert true(), f"not within {seconds} s"
