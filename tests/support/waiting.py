"""Wait until a condition comes true."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable


def wait_until(true: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait until ``true`` returns True; fail after ``seconds``."""
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until
        time.sleep(0.05)


async def wait_until_async(true: Callable[[], bool], seconds: float = 30.0) -> None:
    """Wait until ``true`` returns True while other coroutines run; fail after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it never came true"
        await asyncio.sleep(0.02)
