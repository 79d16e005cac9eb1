"""The order of things, on a real Temporal server, with stand-ins of the same name for the steps.

What the steps do is tested elsewhere; here it is which follows which, how many run at once, what happens when one fails.
``pytest --record-histories`` keeps the histories of these runs in tests/histories/next, where the replay test finds them.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any

import pytest
from temporalio import activity
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle
from temporalio.common import SearchAttributeKey
from temporalio.exceptions import ApplicationError, CancelledError

from pipeline.adapters.temporal_namespace import make_search_attributes
from pipeline.contracts.messages import (
    Ending,
    ImportRef,
    Outcome,
    Plan,
    Progress,
    Verdict,
)
from pipeline.contracts.states import State
from pipeline.contracts.workflows import (
    DATASET_ATTRIBUTE,
    notify_workflow_id,
    queue_workflow_id,
)
from pipeline.local import temporal
from pipeline.local.stack import Stack
from pipeline.orchestration.queue_workflow import RUNS
from tests.support.histories import Histories
from tests.support.waiting import pauses, wait_until_async
from tests.support.workflow_double import Orchestra, run_story


@pytest.fixture
def record(histories: Histories) -> Callable[[WorkflowHandle[Any, Any], str], Coroutine[Any, Any, None]]:
    """Keep a run's history under a name, if the run of the tests is asked to."""
    return histories.keep


@pytest.fixture
def play(stack: Stack, namespace: str) -> Callable[[Callable[[Orchestra], Coroutine[Any, Any, None]]], None]:
    """Run a coroutine against a worker."""

    def run(story: Callable[[Orchestra], Coroutine[Any, Any, None]]) -> None:
        async def told() -> None:
            one = Orchestra(await Client.connect(temporal.address(stack.home), namespace=namespace))
            async with one.working():
                await story(one)

        run_story(told())

    return run


def test_a_good_file_goes_the_whole_way_in_order(play: Any, record: Any) -> None:
    async def story(o: Orchestra) -> None:
        outcome = await o.import_file("one")
        assert outcome == Outcome("one", State.SUCCEEDED)
        assert o.steps.log[:4] == ["validate one", "prepare one", "load one 1", "finish one"]
        assert o.steps.endings["one"].state is None  # the counts decide
        await o.client.get_workflow_handle(notify_workflow_id("one")).result()
        assert "told one b" in o.steps.log  # though the webhook's receiver is gone
        await record(o.import_run("one"), "import_succeeded")
        await record(o.client.get_workflow_handle(queue_workflow_id("places")), "queue_of_one")
        await record(o.client.get_workflow_handle(notify_workflow_id("one")), "notify_one_receiver_gone")

    play(story)


def test_an_import_is_marked_with_its_dataset_where_the_namespace_allows_it(play: Any, record: Any) -> None:
    async def story(o: Orchestra) -> None:
        assert await make_search_attributes(o.client)
        o.steps.searchable = True
        await o.import_file("one")
        marks = (await o.import_run("one").describe()).typed_search_attributes
        assert marks[SearchAttributeKey.for_keyword(DATASET_ATTRIBUTE)] == "places"
        await record(o.client.get_workflow_handle(queue_workflow_id("places")), "queue_of_searchable_imports")

    play(story)


def test_a_rejected_file_is_not_loaded_its_workflow_fails_and_recipients_are_notified(play: Any, record: Any) -> None:
    async def story(o: Orchestra) -> None:
        o.steps.verdict = Verdict(records=400, errors=3, warnings=1)
        with pytest.raises(WorkflowFailureError) as caught:
            await o.import_file("one")
        assert isinstance(caught.value.cause, ApplicationError)
        assert (caught.value.cause.type, caught.value.cause.message) == ("rejected", "3 errors")
        assert o.steps.endings["one"].state is State.REJECTED
        await o.client.get_workflow_handle(notify_workflow_id("one")).result()
        assert o.steps.log == ["validate one", "finish one", "told one b"]
        await record(o.import_run("one"), "import_rejected")

    play(story)


def test_one_dataset_imports_one_file_at_a_time_and_a_rejected_one_holds_up_nothing(play: Any, record: Any) -> None:
    async def story(o: Orchestra) -> None:
        o.steps.verdict = Verdict(records=1, errors=1, warnings=0)
        o.steps.validate_seconds = 0.5
        queue = await o.announce("one")
        await o.announce("two")
        await o.announce("three")
        await queue.result()
        assert [line for line in o.steps.log if not line.startswith("told")] == [
            *("validate one", "finish one", "validate two", "finish two", "validate three", "finish three")
        ]
        await record(queue, "queue_of_three")

    play(story)


def test_different_datasets_go_side_by_side(play: Any) -> None:
    async def story(o: Orchestra) -> None:
        o.steps.validate_seconds = 1.0
        await asyncio.gather(o.import_file("one", "places"), o.import_file("two", "records"))
        assert sorted(o.steps.log[:2]) == ["validate one", "validate two"]

    play(story)


def test_the_same_event_five_times_makes_one_run(play: Any) -> None:
    async def story(o: Orchestra) -> None:
        o.steps.validate_seconds = 0.3
        queues = await asyncio.gather(*(o.announce("one") for _ in range(5)))
        await queues[0].result()
        await (await o.announce("one")).result()  # and once more when it is long over
        assert o.steps.log.count("validate one") == 1

    play(story)


def test_a_dry_run_is_counted_and_not_loaded(play: Any, record: Any) -> None:
    async def story(o: Orchestra) -> None:
        o.steps.verdict = Verdict(records=400, errors=0, warnings=0, dry_run=True)
        assert (await o.import_file("one")).state is State.VALIDATED
        assert o.steps.log[:3] == ["validate one", "preview one", "finish one"]
        await o.client.get_workflow_handle(notify_workflow_id("one", State.VALIDATED)).result()
        await record(o.import_run("one"), "import_dry_run")

    play(story)


def test_a_dry_run_may_be_promoted_while_its_own_run_is_still_closing(play: Any) -> None:
    async def story(o: Orchestra) -> None:
        closing, announced = threading.Event(), threading.Event()

        def wait(ending: Ending) -> None:
            if ending.state is State.VALIDATED:
                closing.set()
                announced.wait(10)

        o.steps.verdict, o.steps.before_closing = Verdict(records=400, errors=0, warnings=0, dry_run=True), wait
        queue = await o.announce("one")
        await asyncio.to_thread(closing.wait, 10)
        o.steps.promoted.add("one")
        o.steps.verdict = Verdict(records=400, errors=0, warnings=0)
        await o.announce("one")
        await o.announce("one")
        announced.set()
        await queue.result()
        assert [line for line in o.steps.log if "told" not in line] == [
            *("validate one", "preview one", "finish one", "validate one", "prepare one", "load one 1", "finish one")
        ]

    play(story)


def test_good_records_are_loaded_though_bad_ones_are_quarantined(play: Any, record: Any) -> None:
    async def story(o: Orchestra) -> None:
        o.steps.verdict = Verdict(records=400, errors=3, warnings=0, quarantined=5)
        await o.import_file("one")
        assert o.steps.log[:4] == ["validate one", "prepare one", "load one 1", "finish one"]
        assert o.steps.endings["one"].state is None
        await record(o.import_run("one"), "import_quarantined")

    play(story)


def test_a_file_that_is_too_bad_for_a_quarantine_says_so(play: Any) -> None:
    async def story(o: Orchestra) -> None:
        o.steps.verdict = Verdict(records=400, errors=3, warnings=0, refusal="too many")
        with pytest.raises(WorkflowFailureError):
            await o.import_file("one")
        ending = o.steps.endings["one"]
        assert (ending.state, ending.reason) == (State.REJECTED, "too many")

    play(story)


def test_at_most_so_many_parts_at_once_and_no_wave_before_the_one_before_it(play: Any, record: Any) -> None:
    async def story(o: Orchestra) -> None:
        o.steps.plan = Plan(records=4000, batches=20, parts=10, waves=(1, 4, 10), parallel=3)
        o.steps.before_part = lambda part_no: time.sleep(0.1)
        await o.import_file("one")
        loaded = [int(line.rpartition(" ")[2]) for line in o.steps.log if line.startswith("load")]
        assert (loaded[:1], sorted(loaded[1:4]), sorted(loaded[4:])) == ([1], [2, 3, 4], [5, 6, 7, 8, 9, 10])
        assert o.steps.busiest == 3
        assert await o.import_run("one").query("progress", result_type=Progress) == Progress(State.SUCCEEDED)
        await record(o.import_run("one"), "import_in_waves")

    play(story)


def test_a_part_begins_when_what_it_needs_is_loaded_and_does_not_wait_for_the_rest_of_the_wave(play: Any, record: Any) -> None:
    async def story(o: Orchestra) -> None:
        needs = (0, 1, 1, 2, 3, 4)
        o.steps.plan = Plan(records=2400, batches=12, parts=6, waves=(1, 3, 5, 6), parallel=3, needs=needs)
        begun: dict[int, list[int]] = {}
        slow = threading.Event()

        def hold_third(part_no: int) -> None:
            begun[part_no] = o.steps.loaded
            if part_no == 4:
                slow.set()  # a part of the third wave, while one of the second is under way
            if part_no == 3:
                assert slow.wait(60)

        o.steps.before_part = hold_third
        await o.import_file("one")
        assert all(set(range(1, needs[part_no - 1] + 1)) <= set(loaded) for part_no, loaded in begun.items()), begun
        assert 3 not in begun[4]
        await record(o.import_run("one"), "import_by_needs")

    play(story)


def test_a_passing_fault_is_tried_again(play: Any) -> None:
    async def story(o: Orchestra) -> None:
        tries: list[int] = []

        def fail_twice(part_no: int) -> None:
            tries.append(part_no)
            if len(tries) < 3:
                raise ApplicationError("the database is away", type="Unreachable")

        o.steps.before_part = fail_twice
        assert (await o.import_file("one")).state is State.SUCCEEDED
        assert len(tries) == 3

    play(story)


def test_a_lasting_fault_of_the_system_fails_the_import_and_says_why(play: Any, record: Any) -> None:
    async def story(o: Orchestra) -> None:
        def fail(part_no: int) -> None:
            if part_no == 2:
                raise ApplicationError("there is no table", type="InvalidRequest", non_retryable=True)

        o.steps.plan = Plan(records=1000, batches=5, parts=5, waves=(5,), parallel=2)
        o.steps.before_part = fail
        with pytest.raises(WorkflowFailureError):
            await o.import_file("one")
        ending = o.steps.endings["one"]
        assert (ending.state, ending.reason) == (State.FAILED, "there is no table")
        assert len(o.steps.loaded) < 5
        await record(o.import_run("one"), "import_failed")

    play(story)


def test_a_damaged_part_is_given_up_at_once_and_the_others_are_loaded(play: Any, record: Any) -> None:
    async def story(o: Orchestra) -> None:
        tries: list[int] = []

        def fail(part_no: int) -> None:
            tries.append(part_no)
            if part_no == 2:
                raise ApplicationError("it cannot be read", type="DamagedPart", non_retryable=True)

        o.steps.plan = Plan(records=1000, batches=5, parts=5, waves=(3, 5), parallel=2)
        o.steps.before_part = fail
        await o.import_file("one")
        assert sorted(o.steps.loaded) == [1, 3, 4, 5]
        assert o.steps.given_up == [(2, "it cannot be read")]
        assert tries.count(2) == 1
        at = o.steps.log.index("give up one 2")
        assert at < min(o.steps.log.index(f"load one {later}") for later in (4, 5)), "those below it must know of it"
        await record(o.import_run("one"), "import_with_a_damaged_part")

    play(story)


def test_files_of_failures_are_written_in_a_step_of_their_own_before_the_end(play: Any, record: Any) -> None:
    async def story(o: Orchestra) -> None:
        o.steps.has_failures = True
        assert (await o.import_file("one")).state is State.SUCCEEDED
        assert o.steps.log[2:6] == ["load one 1", "finish one", "write one", "finish one"]
        assert o.steps.endings["one"].fault == ""
        await record(o.import_run("one"), "import_with_failures")

    play(story)


def test_known_content_is_not_looked_at_again(play: Any, record: Any) -> None:
    async def story(o: Orchestra) -> None:
        o.steps.verdict = Verdict(0, 0, 0, known="Import 1 has loaded this very content.")
        outcome = await o.import_file("one")
        assert outcome == Outcome("one", State.DUPLICATE, "Import 1 has loaded this very content.")
        assert o.steps.log[:2] == ["validate one", "finish one"]
        await record(o.import_run("one"), "import_duplicate")

    play(story)


# --- Pause and resume ---


def test_a_pause_lets_the_begun_parts_end_and_starts_no_other_until_it_is_over(play: Any, record: Any) -> None:
    async def story(o: Orchestra) -> None:
        o.steps.plan = Plan(records=4000, batches=20, parts=20, waves=(10, 20), parallel=2)
        asked = threading.Event()

        def load_on_once_asked(part_no: int) -> None:
            if part_no > 6:
                asked.wait(60)

        o.steps.before_part = load_on_once_asked
        queue = await o.announce("one")
        await wait_until_async(lambda: len(o.steps.loaded) >= 3)
        o.steps.pause_wanted = True
        await o.import_run("one").signal("pause")
        asked.set()
        await wait_until_async(lambda: "hold one" in o.steps.log)
        loaded = len(o.steps.loaded)
        assert o.steps.busy == 0, "what was under way has come to its end"
        for pause in pauses(60.0):  # the step that holds it has begun, and the workflow hears of its end
            progress = await o.import_run("one").query("progress", result_type=Progress)
            if progress.state is State.PAUSED:
                break
            await asyncio.sleep(pause)
        assert (progress.state, progress.parts_done) == (State.PAUSED, loaded)
        await asyncio.sleep(0.5)
        assert len(o.steps.loaded) == loaded < 20
        o.steps.pause_wanted = False
        await o.import_run("one").signal("resume")
        await queue.result()
        assert sorted(o.steps.loaded) == list(range(1, 21))
        assert o.steps.log.index("hold one") < o.steps.log.index("go on one")
        await record(o.import_run("one"), "import_paused")

    play(story)


def test_a_pause_survives_a_restart_of_the_worker_and_may_be_canceled(play: Any, record: Any) -> None:
    async def story(o: Orchestra) -> None:
        o.steps.plan = Plan(records=400, batches=2, parts=2, waves=(2,), parallel=1, pause_wanted=True)
        o.steps.pause_wanted = True
        queue = await o.announce("one")
        await wait_until_async(lambda: "hold one" in o.steps.log)
        async with o.restarted():
            await asyncio.sleep(0.5)
            assert o.steps.loaded == [], "a pause that was asked for before its turn came holds it before the first part"
            await o.import_run("one").cancel()
            await queue.result()
        assert o.steps.endings["one"].state is State.CANCELED
        await record(o.import_run("one"), "import_canceled_while_paused")

    play(story)


def test_a_resume_that_comes_first_is_not_waited_for(play: Any) -> None:
    async def story(o: Orchestra) -> None:
        o.steps.plan = Plan(records=400, batches=2, parts=2, waves=(2,), parallel=1, pause_wanted=True)
        o.steps.pause_wanted = False  # the ledger knows it already, though its signal was lost
        await o.import_file("one")
        assert o.steps.loaded == [1, 2]

    play(story)


def test_cancel_lets_the_begun_parts_end_starts_no_other_and_closes_the_books(play: Any, record: Any) -> None:
    async def story(o: Orchestra) -> None:
        o.steps.plan = Plan(records=20_000, batches=100, parts=50, waves=(50,), parallel=2)
        o.steps.before_part = lambda part_no: time.sleep(0.2)
        queue = await o.announce("one")
        while len(o.steps.log) < 6:
            await asyncio.sleep(0.05)
        await o.import_run("one").cancel()
        await queue.result()
        with pytest.raises(WorkflowFailureError) as caught:
            await o.import_run("one").result()
        assert isinstance(caught.value.cause, CancelledError)
        assert o.steps.endings["one"].state is State.CANCELED
        closed = o.steps.log.index("finish one")
        assert not [line for line in o.steps.log[closed:] if line.startswith("load")]
        assert closed < 20
        await record(o.import_run("one"), "import_canceled")

    play(story)


def test_a_cancel_that_a_step_does_not_hear_of_is_kept(play: Any, record: Any) -> None:
    """Temporal delivers one request, to the step that is under way; here that comes to its end before it hears of it."""

    async def story(o: Orchestra) -> None:
        o.steps.validate_seconds = 1.5
        queue = await o.announce("one")
        await wait_until_async(lambda: "validate one" in o.steps.log)
        await o.import_run("one").cancel()
        await queue.result()
        assert o.steps.endings["one"].state is State.CANCELED
        assert o.steps.log[:2] == ["validate one", "finish one"], "no step was begun after that"
        await record(o.import_run("one"), "import_canceled_while_validating")

    play(story)


def test_a_step_that_finds_the_request_in_the_ledger_ends_the_import_as_canceled(play: Any, record: Any) -> None:
    async def story(o: Orchestra) -> None:
        def refuse(ref: ImportRef) -> None:
            raise ApplicationError("The user canceled the import.", type="Canceled", non_retryable=True)

        o.steps.before_preparing = refuse
        await (await o.announce("one")).result()
        with pytest.raises(WorkflowFailureError):
            await o.import_run("one").result()
        assert o.steps.endings["one"].state is State.CANCELED
        await record(o.import_run("one"), "import_canceled_by_the_ledger")

    play(story)


def test_a_cancel_while_the_books_are_being_closed_does_not_keep_them_open(play: Any, record: Any) -> None:
    async def story(o: Orchestra) -> None:
        closing, asked = threading.Event(), threading.Event()

        def wait(ending: Ending) -> None:
            closing.set()
            asked.wait(10)
            time.sleep(0.5)
            activity.heartbeat()  # what is canceled hears of it now
            time.sleep(1.0)

        o.steps.before_closing = wait
        queue = await o.announce("one")
        await asyncio.to_thread(closing.wait, 10)
        await o.import_run("one").cancel()
        asked.set()
        await queue.result()
        assert (await o.import_run("one").result()).state is State.SUCCEEDED, "its ledger says so"
        await record(o.import_run("one"), "import_canceled_while_closing")

    play(story)


def test_an_illegal_move_is_a_fault_unless_the_import_was_just_being_taken_up(play: Any) -> None:
    async def story(o: Orchestra) -> None:
        def refuse(ref: ImportRef) -> None:
            raise ApplicationError("It cannot become that.", type="IllegalMove", non_retryable=True)

        o.steps.before_preparing = refuse
        await (await o.announce("one")).result()
        assert o.steps.endings["one"].state is State.FAILED
        o.steps.before_validating = lambda ref: o.steps.over.add(ref) or refuse(ref)
        await (await o.announce("two")).result()
        assert "two" not in o.steps.endings, "it was ended from outside before its turn came"

    play(story)


# --- A run that is lost, and a queue that is ---


def test_an_import_is_waited_for_whatever_becomes_of_the_waiting(play: Any, record: Any) -> None:
    async def story(o: Orchestra) -> None:
        watched: list[ImportRef] = []

        def fail_twice(ref: ImportRef) -> None:
            watched.append(ref)
            if len(watched) < 3:
                raise ApplicationError("the waiting has come to its own end", non_retryable=True)

        loading, wait = threading.Event(), threading.Event()
        o.steps.before_part = lambda part_no: loading.set() or (wait.wait(30) and None)
        o.steps.before_watching = fail_twice
        first = await o.announce("one")
        assert await asyncio.to_thread(loading.wait, 20)
        await first.terminate("by an operator")
        queue = await o.announce("two")
        await wait_until_async(lambda: len(watched) == 3)
        await asyncio.sleep(0.5)
        assert "validate two" not in o.steps.log, "the other one is at work"
        options = [
            event.activity_task_scheduled_event_attributes
            async for event in queue.fetch_history_events()
            if event.activity_task_scheduled_event_attributes.activity_type.name == "watch"
        ]
        assert {one.schedule_to_close_timeout.ToTimedelta() for one in options} <= {timedelta(0), timedelta(days=3650)}
        wait.set()
        await queue.result()
        assert o.steps.log.index("finish one") < o.steps.log.index("validate two")
        await record(queue, "queue_that_watched_again")

    play(story)


def test_an_import_whose_run_is_lost_is_begun_again_and_closed_if_that_does_not_help(play: Any, record: Any) -> None:
    over = threading.Event()  # the steps of the lost runs end with the test, for the worker to shut down

    async def story(o: Orchestra) -> None:
        o.steps.before_validating = lambda ref: (ref.import_id == "one" and over.wait(60)) and None
        queue = await o.announce("one")
        await o.announce("two")
        for run in range(1, RUNS + 1):
            await wait_until_async(lambda run=run: o.steps.log.count("validate one") == run)  # type: ignore[misc]
            await o.import_run("one").terminate("by an operator")
        await queue.result()
        assert o.steps.endings["one"].state is State.FAILED
        assert "by an operator" in o.steps.endings["one"].reason or "erminated" in o.steps.endings["one"].reason
        assert o.steps.log.index("close one") < o.steps.log.index("validate two")
        assert o.steps.endings["two"].state is None
        await o.client.get_workflow_handle(notify_workflow_id("one")).result()
        assert "told one b" in o.steps.log
        await record(queue, "queue_with_lost_runs")
        over.set()

    play(story)


def test_a_dead_step_is_detected_within_half_a_minute(play: Any) -> None:
    async def story(o: Orchestra) -> None:
        o.steps.plan = Plan(records=400, batches=2, parts=2, waves=(2,), parallel=1, pause_wanted=True)
        queue = await o.announce("one")
        await queue.result()
        telling = o.client.get_workflow_handle(notify_workflow_id("one"))
        await telling.result()
        for handle in (queue, o.import_run("one"), telling):
            limits = {
                scheduled.activity_type.name: scheduled.heartbeat_timeout.ToTimedelta()
                async for event in handle.fetch_history_events()
                if (scheduled := event.activity_task_scheduled_event_attributes).activity_type.name
            }
            assert limits
            assert all(timedelta(0) < limit <= timedelta(seconds=30) for limit in limits.values()), limits

    play(story)
