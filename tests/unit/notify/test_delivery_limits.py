"""Places among the messages that are sent at once: few a host, few a dataset, and a backoff for a host that hangs."""

from __future__ import annotations

import itertools
from contextlib import ExitStack

import pytest

from pipeline.errors import Busy, InvalidRequest, Unreachable
from pipeline.notify import delivery_limits
from pipeline.notify.delivery_limits import DeliveryLimits, Key

DEAD, GOOD = ("host", "dead.example"), ("host", "good.example")
OTHERS: dict[Key, int] = {("dataset", "places"): 4}


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def places(clock: Clock) -> DeliveryLimits:
    return DeliveryLimits(clock)


def put_off(places: DeliveryLimits, host: Key, others: dict[Key, int] | None = None, *, asked: bool = False) -> float:
    """How many seconds a message is put off for; 0 if it has a place."""
    try:
        with places.slot(host, others or {}, at_host=2, asked=asked):
            return 0.0
    except Busy as busy:
        assert busy.wait_seconds is not None
        return busy.wait_seconds


def hang(places: DeliveryLimits, clock: Clock, host: Key, seconds: float = 20.0) -> None:
    """An attempt that ends without an answer after so long."""
    with pytest.raises(Unreachable), places.slot(host, {}, at_host=2):
        clock.now += seconds
        raise Unreachable


def test_a_host_has_so_many_places_and_no_other_host_waits_for_it(places: DeliveryLimits) -> None:
    with places.slot(DEAD, {}, at_host=2), places.slot(DEAD, {}, at_host=2):
        assert put_off(places, DEAD) > 0
        assert put_off(places, GOOD) == 0
    assert put_off(places, DEAD) == 0


def test_a_dataset_has_so_many_places_however_many_hosts_its_messages_go_to(places: DeliveryLimits) -> None:
    with ExitStack() as held:
        for number in range(4):
            held.enter_context(places.slot(("host", number), OTHERS, at_host=2))
        assert put_off(places, GOOD, OTHERS) > 0
        assert put_off(places, GOOD, {("dataset", "records"): 4}) == 0
    assert put_off(places, GOOD, OTHERS) == 0


def test_a_message_without_a_place_takes_none_in_another_line(places: DeliveryLimits) -> None:
    with places.slot(DEAD, {}, at_host=1):
        for _ in range(10):
            with pytest.raises(Busy), places.slot(DEAD, OTHERS, at_host=1):
                raise AssertionError("there is no place")
    with ExitStack() as held:
        for number in range(4):
            held.enter_context(places.slot(("host", number), OTHERS, at_host=2))


def test_messages_come_again_one_after_the_other_as_places_become_free(places: DeliveryLimits, clock: Clock) -> None:
    hang(places, clock, DEAD)
    waits = [put_off(places, DEAD) for _ in range(500)]
    early = [wait for wait in waits if wait < delivery_limits.WAIT_SECONDS_MAX / 2]
    assert early == sorted(early)
    assert min(early) >= delivery_limits.PAUSE_SECONDS, "it is left alone first"
    gaps = [later - sooner for sooner, later in itertools.pairwise(early)]
    assert min(gaps) > 5, "as long apart as an attempt takes"
    assert max(waits) <= delivery_limits.WAIT_SECONDS_MAX


def test_a_host_that_hangs_is_tried_by_one_message_at_a_time_and_ever_more_rarely(places: DeliveryLimits, clock: Clock) -> None:
    hang(places, clock, DEAD)
    pauses = []
    for _ in range(8):
        ended = clock.now
        while True:
            try:
                with places.slot(DEAD, {}, at_host=2):
                    pauses.append(clock.now - ended)
                    assert put_off(places, DEAD) > 0, "one at a time"
                    clock.now += 20
                    raise Unreachable
            except Busy:
                clock.now += 5
            except Unreachable:
                break
    assert pauses == [15, 30, 60, 120, 240, 480, 600, 600]
    assert put_off(places, GOOD) == 0


def test_an_answer_ends_the_backoff(places: DeliveryLimits, clock: Clock) -> None:
    for _ in range(3):
        hang(places, clock, DEAD)
        clock.now += delivery_limits.PAUSE_SECONDS_MAX
    with places.slot(DEAD, {}, at_host=2):
        clock.now += 0.1
    with places.slot(DEAD, {}, at_host=2), places.slot(DEAD, {}, at_host=2):
        pass


@pytest.mark.parametrize("error", [InvalidRequest, Unreachable])
def test_a_quick_refusal_is_no_reason_for_a_backoff(places: DeliveryLimits, clock: Clock, error: type[Exception]) -> None:
    with pytest.raises(error), places.slot(DEAD, {}, at_host=2):
        clock.now += 0.2
        raise error
    assert put_off(places, DEAD) == 0


def test_a_person_who_asks_does_not_wait_for_the_backoff_but_for_a_place(places: DeliveryLimits, clock: Clock) -> None:
    hang(places, clock, DEAD)
    assert put_off(places, DEAD) > 0
    assert put_off(places, DEAD, asked=True) == 0
    with places.slot(DEAD, {}, at_host=2, asked=True), places.slot(DEAD, {}, at_host=2, asked=True):
        assert put_off(places, DEAD, asked=True) > 0


def test_hosts_that_nothing_is_known_of_are_forgotten(places: DeliveryLimits, clock: Clock) -> None:
    hang(places, clock, DEAD)
    for number in range(3 * delivery_limits.IDLE_MAX):
        assert put_off(places, ("host", number)) == 0
    assert len(places._slots) <= delivery_limits.IDLE_MAX + 2
    assert put_off(places, DEAD) > 0
