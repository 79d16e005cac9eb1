"""How many requests a key may send: so many a minute, evenly or all at once; then 429 until the next one is due.

Told in every answer of the API by RateLimit and RateLimit-Policy (draft-ietf-httpapi-ratelimit-headers). What is kept of a
key is one number, the time until which its requests are spoken for (the generic cell rate algorithm), in memory that
gunicorn's processes share. Nobody locks it: two that meet in the same microsecond let through one request more.
"""

from __future__ import annotations

import math
import mmap
import time
from collections.abc import Callable
from dataclasses import dataclass
from zlib import crc32

from flask import Flask, Response, g, request

from web.http.problems import Problem

WINDOW_SECONDS = 60
_SLOTS = 1 << 16
_COUNTED = ("/v1/", "/s3/")


@dataclass(frozen=True)
class Standing:
    """What is left of a key's quota. ``reset``: seconds until it is all there again; ``wait``: until the next request may."""

    left: int
    reset: int
    wait: int = 0


class Quota:
    """``limit`` requests a minute for each key."""

    def __init__(self, limit: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.limit = limit
        self._clock = clock
        self._taken_until = memoryview(mmap.mmap(-1, _SLOTS * 8)).cast("d")

    def take(self, who: str) -> Standing:
        """One request more of this key; where it may not come yet, nothing is taken."""
        slot, now, each = crc32(who.encode()) % _SLOTS, self._clock(), WINDOW_SECONDS / self.limit
        begun = max(self._taken_until[slot], now)
        until = begun + each
        if until - now > WINDOW_SECONDS + each / 2:
            return Standing(0, math.ceil(begun - now), max(1, math.ceil(until - now - WINDOW_SECONDS)))
        self._taken_until[slot] = until
        return Standing(math.floor((WINDOW_SECONDS - (until - now)) / each + 0.5), math.ceil(until - now))


def install(app: Flask, limit: int) -> None:
    """Count the requests to the API of ``app``, after it is known who asks; with a limit of 0 nobody counts."""
    if not limit:
        return
    quota = Quota(limit)

    def count() -> None:
        key = g.get("key")
        if key is None or not request.path.startswith(_COUNTED):
            return
        g.standing = standing = quota.take(key.id)
        if standing.wait:
            said = f"This key has sent its {limit:,} requests a minute. The next may come in {standing.wait} s."
            raise Problem("too_many_requests", said, headers={"Retry-After": str(standing.wait)})

    def tell(response: Response) -> Response:
        if standing := g.get("standing"):
            response.headers["RateLimit-Policy"] = f'"key";q={limit};w={WINDOW_SECONDS}'
            response.headers["RateLimit"] = f'"key";r={standing.left};t={standing.reset}'
        return response

    app.before_request(count)
    app.after_request(tell)
