"""Rate limit: a number of requests a minute for each API key, spread evenly or in one burst; then 429.

The algorithm is GCRA (generic cell rate algorithm): all that is stored for a key is its theoretical arrival time, until which
its requests are accounted for, in memory that gunicorn's processes share. Writes are not locked: two requests in the same
microsecond can let one too many through. Every answer of the API has the headers RateLimit and RateLimit-Policy
(draft-ietf-httpapi-ratelimit-headers).
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
class RateLimitState:
    """How many requests a key has left, the seconds until it has all of them again, and until it may send the next one."""

    remaining: int
    reset_seconds: int
    wait_seconds: int = 0


class RateLimiter:
    """Allow each key ``limit`` requests a minute. Safe to share between threads and forked processes."""

    def __init__(self, limit: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.limit = limit
        self._clock = clock
        self._arrival_times = memoryview(mmap.mmap(-1, _SLOTS * 8)).cast("d")

    def take(self, key_id: str) -> RateLimitState:
        """Count one request of a key, unless it comes too early (``wait_seconds``); such a request does not count."""
        slot, now, each = crc32(key_id.encode()) % _SLOTS, self._clock(), WINDOW_SECONDS / self.limit
        begun = max(self._arrival_times[slot], now)
        until = begun + each
        if until - now > WINDOW_SECONDS + each / 2:
            return RateLimitState(0, math.ceil(begun - now), max(1, math.ceil(until - now - WINDOW_SECONDS)))
        self._arrival_times[slot] = until
        return RateLimitState(math.floor((WINDOW_SECONDS - (until - now)) / each + 0.5), math.ceil(until - now))


def install(app: Flask, limit: int) -> None:
    """Limit the requests to the API of ``app``, once the key is known. A limit of 0 means none."""
    if not limit:
        return
    limiter = RateLimiter(limit)

    def count() -> None:
        key = g.get("key")
        if key is None or not request.path.startswith(_COUNTED):
            return
        g.rate_limit = state = limiter.take(key.id)
        if state.wait_seconds:
            said = f"This key may send {limit:,} requests a minute. Send the next one in {state.wait_seconds} s."
            raise Problem("too_many_requests", said, headers={"Retry-After": str(state.wait_seconds)})

    def tell(response: Response) -> Response:
        if state := g.get("rate_limit"):
            response.headers["RateLimit-Policy"] = f'"key";q={limit};w={WINDOW_SECONDS}'
            response.headers["RateLimit"] = f'"key";r={state.remaining};t={state.reset_seconds}'
        return response

    app.before_request(count)
    app.after_request(tell)
