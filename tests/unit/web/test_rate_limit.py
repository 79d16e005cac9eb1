"""So many requests a minute for each key, at once or evenly, and not one more."""

from __future__ import annotations

from web.http.rate_limit import Quota, Standing


class Clock:
    """Stands still unless it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_all_at_once_and_then_no_more() -> None:
    quota = Quota(60, clock := Clock())
    assert [quota.take("a").left for _ in range(60)] == [*range(59, -1, -1)]
    assert quota.take("a") == Standing(0, 60, 1)
    assert quota.take("a") == Standing(0, 60, 1)  # being refused costs nothing
    assert quota.take("b").left == 59
    clock.now += 1
    assert quota.take("a").wait == 0
    assert quota.take("a").wait == 1


def test_evenly_for_ever() -> None:
    quota = Quota(60, clock := Clock())
    for _ in range(1000):
        assert quota.take("a") == Standing(59, 1)
        clock.now += 1


def test_after_a_minute_there_is_all_of_it_again() -> None:
    quota = Quota(3, clock := Clock())
    assert [quota.take("a").wait for _ in range(4)] == [0, 0, 0, 20]
    clock.now += 60
    assert [quota.take("a").left for _ in range(3)] == [2, 1, 0]
