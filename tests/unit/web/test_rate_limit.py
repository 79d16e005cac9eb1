"""So many requests a minute for each key, at once or evenly, and not one more."""

from __future__ import annotations

from web.http.rate_limit import RateLimiter, RateLimitState


class Clock:
    """Stands still unless it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_all_at_once_and_then_no_more() -> None:
    limiter = RateLimiter(60, clock := Clock())
    assert [limiter.take("a").remaining for _ in range(60)] == [*range(59, -1, -1)]
    assert limiter.take("a") == RateLimitState(0, 60, 1)
    assert limiter.take("a") == RateLimitState(0, 60, 1)  # being refused costs nothing
    assert limiter.take("b").remaining == 59
    clock.now += 1
    assert limiter.take("a").wait_seconds == 0
    assert limiter.take("a").wait_seconds == 1


def test_evenly_for_ever() -> None:
    limiter = RateLimiter(60, clock := Clock())
    for _ in range(1000):
        assert limiter.take("a") == RateLimitState(59, 1)
        clock.now += 1


def test_after_a_minute_there_is_all_of_it_again() -> None:
    limiter = RateLimiter(3, clock := Clock())
    assert [limiter.take("a").wait_seconds for _ in range(4)] == [0, 0, 0, 20]
    clock.now += 60
    assert [limiter.take("a").remaining for _ in range(3)] == [2, 1, 0]
