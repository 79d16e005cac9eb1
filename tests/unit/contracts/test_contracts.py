"""The contracts: states and their moves, keys and ids, steps and workflows."""

from __future__ import annotations

import dataclasses
import json
import typing
from typing import Any

import pytest

from pipeline.contracts import steps, workflows
from pipeline.contracts.messages import CleanRun, DryRunCounts, Verdict
from pipeline.contracts.object_keys import dataset_of, import_id_for, import_id_in, incoming_key
from pipeline.contracts.options import OnError, Options
from pipeline.contracts.states import MOVES, State
from pipeline.contracts.steps import EVERY_WORKER, TASK_QUEUES, Step, TaskQueue, Work, served_queues
from pipeline.contracts.workflows import CLEAN_WORKFLOW, RECONCILE_WORKFLOW, Workflow

AN_ID = "0192f0c1-2a3b-7c4d-8e5f-0123456789ab"


def test_every_state_has_its_moves_and_every_move_its_reason() -> None:
    assert set(MOVES) == set(State)
    assert all(reason for moves in MOVES.values() for reason in moves.values())


def test_every_state_can_be_reached_and_every_path_can_end() -> None:
    reached, frontier = {State.AWAITING_UPLOAD}, [State.AWAITING_UPLOAD]
    while frontier:
        new = set(MOVES[frontier.pop()]) - reached
        reached |= new
        frontier += new
    assert reached == set(State)
    assert all(any(_ends(after) for after in moves) for moves in MOVES.values() if moves)


def _ends(state: State, seen: frozenset[State] = frozenset()) -> bool:
    return state.is_final or any(_ends(after, seen | {state}) for after in MOVES[state] if after not in seen)


def test_a_final_state_is_left_for_nothing_but_a_promotion() -> None:
    finals = {state for state in State if state.is_final}
    assert {state for state in finals if MOVES[state]} == {State.VALIDATED}
    ends = {"succeeded", "partially_succeeded", "rejected", "failed", "canceled", "expired", "duplicate", "validated"}
    assert finals == ends
    assert [before for before, moves in MOVES.items() if State.SUCCEEDED in moves] == [State.LOADING]


@pytest.mark.parametrize(
    ("key", "dataset"),
    [
        (incoming_key("places", AN_ID, "a.csv"), "places"),
        ("incoming/places/a.csv", "places"),
        ("incoming/places/2024/05/a.csv", "places"),
        ("incoming/places/", None),
        ("incoming/places/folder/", None),
        ("incoming/a.csv", None),
        ("incoming//a.csv", None),
        ("incoming/../a.csv", None),
        ("incoming/Places/a.csv", None),
        ("batches/places/a.csv", None),
        ("results/incoming/places/a.csv", None),
    ],
)
def test_a_key_names_a_dataset_only_below_incoming(key: str, dataset: str | None) -> None:
    assert dataset_of(key) == dataset


def test_the_id_of_an_upload_is_in_its_key_and_of_a_dropped_file_is_not() -> None:
    assert import_id_in(incoming_key("places", AN_ID, "a.csv")) == AN_ID
    assert import_id_in("incoming/places/a.csv") is None
    assert import_id_in("incoming/places/2024/a.csv") is None


def test_the_same_object_always_gives_the_same_id_and_another_one_another() -> None:
    same = ("b", "incoming/places/a.csv", "etag", "2026-01-01T00:00:00+00:00")
    assert import_id_for(*same) == import_id_for(*same)
    assert len({import_id_for(*same), import_id_for("b2", *same[1:]), import_id_for(*same[:3], "2026-01-02")}) == 3


def test_options_come_back_as_they_were_and_what_was_left_open_is_not_written() -> None:
    asked = Options(dry_run=True, on_error=OnError.QUARANTINE, max_errors=0, max_error_ratio=0.0, delimiter="\t")
    assert Options.from_json(json.loads(json.dumps(asked.to_json()))) == asked
    named = Options(notify=("me@example.org", "https://example.org/x"), without=("row",))
    assert Options.from_json(json.loads(json.dumps(named.to_json()))) == named
    assert Options().to_json() == {}
    assert Options.from_json({}) == Options()


def test_a_verdict_accepts_files_without_errors_or_with_a_quarantine() -> None:
    assert Verdict(5, 0, 3).accepted
    assert not Verdict(5, 1, 0).accepted
    assert Verdict(5, 1, 0, quarantined=2).accepted


def test_previews_of_parts_add_up() -> None:
    assert DryRunCounts(1, 2, 3, 4) + DryRunCounts(1, 1, 1, 1, 1) == DryRunCounts(2, 3, 4, 5, 1)
    assert DryRunCounts(1).to_json() == {"inserted": 1, "updated": 0, "unchanged": 0, "moved": 0}
    assert DryRunCounts(failed=2).to_json()["failed"] == 2


def test_every_step_carries_dataclasses_only() -> None:
    known = [value for value in vars(steps).values() if isinstance(value, Step)]
    assert len({step.name for step in known}) == len(known) > 0
    for step in known:
        for crossing in (step.takes, step.gives):
            assert crossing is type(None) or dataclasses.is_dataclass(crossing)


def test_each_workflow_has_the_types_of_its_contract() -> None:
    """A client that starts a workflow by its contract passes what ``run`` takes, and nothing that it does not take."""
    from pipeline.orchestration.worker import WORKFLOWS

    known = {value.name: value for value in vars(workflows).values() if isinstance(value, Workflow)}
    runs = {vars(one)["__temporal_workflow_definition"].name: vars(one)["run"] for one in WORKFLOWS}
    assert set(runs) == set(known)
    for name, run in runs.items():
        hints = typing.get_type_hints(run)
        assert (hints.pop("return"), list(hints.values())) == (known[name].gives, [*({known[name].takes} - {type(None)})])
    assert RECONCILE_WORKFLOW.arguments(None) == []
    assert CLEAN_WORKFLOW.arguments(CleanRun()) == [CleanRun()]


def test_each_activity_has_the_types_of_its_step() -> None:
    from pipeline.orchestration.activities import ACTIVITY_CLASSES

    known = {value.name: value for value in vars(steps).values() if isinstance(value, Step)}
    methods = [method for one in ACTIVITY_CLASSES for method in vars(one).values()]
    activities = {one.name: one.fn for method in methods if (one := getattr(method, "__temporal_activity_definition", None))}
    assert set(activities) == set(known)
    for name, method in activities.items():
        hints = typing.get_type_hints(method)
        gives = hints.pop("return")
        assert [gives, *hints.values()] == [known[name].gives, *({known[name].takes} - {type(None)})]


def name_of(activity: Any) -> str:
    return str(vars(activity.__func__)["__temporal_activity_definition"].name)


def test_each_activity_is_registered_on_the_task_queue_of_its_step() -> None:
    from pipeline.orchestration.activities import Activities
    from pipeline.orchestration.notify_activities import NotifyActivities
    from pipeline.settings import Settings

    nothing: Any = None
    notify = NotifyActivities(nothing, nothing, nothing, nothing)
    served = Activities(Settings(), nothing, nothing, nothing).by_task_queue(notify)
    queues = {name_of(activity): queue for queue, activities in served.items() for activity in activities}
    assert queues == {value.name: value.queue for value in vars(steps).values() if isinstance(value, Step)}


def test_every_task_queue_is_of_one_kind_of_work_or_of_every_worker() -> None:
    of_works = [queue for work in Work for queue in TASK_QUEUES[work]]
    assert sorted([*EVERY_WORKER, *of_works]) == sorted(TaskQueue)
    assert served_queues([]) == (*EVERY_WORKER, *of_works)
    assert served_queues([Work.LOADING]) == (*EVERY_WORKER, TaskQueue.PARTS)
