"""Temporal bounds a history: on a server that allows a tenth of what it does by default, everything goes on in new runs.

A history may have 51,200 events and 50 MB, a payload 2 MB, a run 10,000 signals
(https://docs.temporal.io/self-hosted-guide/defaults); from 4,096 events on, the server suggests a new run.
"""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client, WorkflowHandle
from temporalio.service import RPCError

from pipeline.contracts.messages import Plan
from pipeline.contracts.states import State
from pipeline.contracts.workflows import import_workflow_id, queue_workflow_id
from pipeline.prepare.manifest import Manifest, Part
from tests.support.shared_stack import FRUGAL
from tests.support.temporal_namespace import register_namespace
from tests.support.temporal_server import temporal_server
from tests.support.waiting import wait_until_async
from tests.support.workflow_double import Orchestra, run_story

pytestmark = pytest.mark.early

A_TENTH = {
    "limit.historyCount.error": 5_120,
    "limit.historyCount.warn": 1_024,
    "limit.historyCount.suggestContinueAsNew": 409,
    "limit.historySize.error": 5 << 20,
    "limit.historySize.warn": 1 << 20,
    "limit.blobSize.error": (2 << 20) // 10,
    "limit.blobSize.warn": (512 << 10) // 10,
    "history.maximumSignalsPerExecution": 1_000,
}

Story = Callable[[Orchestra], Coroutine[Any, Any, None]]


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Temporal server with a tenth of the room."""
    limits = [f"--dynamic-config-value={name}={value}" for name, value in A_TENTH.items()]
    with temporal_server(tmp_path_factory.mktemp("narrow"), *limits, *FRUGAL) as address:
        yield address


@pytest.fixture
def play(narrow: str, monkeypatch: pytest.MonkeyPatch) -> Callable[[Story], None]:
    """Run a coroutine against a worker on the narrow server, in a namespace of the test's own."""
    monkeypatch.setenv("TEMPORAL_DEBUG", "1")  # else a workflow is stuck after 2 s, which hundreds of signals may take here

    def run(story: Story) -> None:
        async def told() -> None:
            namespace = f"t-{uuid.uuid4().hex[:12]}"
            await register_namespace(narrow, namespace)
            one = Orchestra(await Client.connect(narrow, namespace=namespace))
            async with one.working():
                await story(one)

        run_story(told())

    return run


async def runs(client: Client, workflow_id: str) -> list[int]:
    """The number of events of each of a workflow's runs."""
    found = [one async for one in client.list_workflows(f"WorkflowId = '{workflow_id}'")]
    return [one.history_length for one in found if one.history_length]


async def closed_runs(client: Client, workflow_id: str, at_least: int) -> list[int]:
    """As ``runs``, when the server's list has caught up."""
    for _ in range(200):
        if len(found := await runs(client, workflow_id)) >= at_least:
            break
        await asyncio.sleep(0.05)
    return found


def test_the_limits_are_real(play: Any) -> None:
    async def story(o: Orchestra) -> None:
        with pytest.raises(RPCError, match=r"(?i)size"):
            await o.announce("x" * 250_000, "toolarge")

    play(story)


def test_a_load_of_many_parts_goes_on_in_new_runs(play: Any) -> None:
    async def story(o: Orchestra) -> None:
        parts = 500
        o.steps.plan = Plan(parts * 20_000, parts * 100, parts, waves=(1, 4, 20, 90, parts), parallel=4)
        assert (await o.import_file("many", "parts")).state is State.SUCCEEDED
        assert sorted(o.steps.loaded) == list(range(1, parts + 1))
        assert o.steps.busiest <= 4
        events = await closed_runs(o.client, import_workflow_id("many"), 5)
        assert 5 <= len(events) <= 15
        assert max(events) < 600

    play(story)


def test_a_chain_of_many_waves_is_small_in_every_run(play: Any) -> None:
    async def story(o: Orchestra) -> None:
        parts = 150
        o.steps.plan = Plan(parts * 20_000, parts * 100, parts, waves=tuple(range(1, parts + 1)), parallel=4)
        assert (await o.import_file("deep", "chain")).state is State.SUCCEEDED
        assert o.steps.loaded == list(range(1, parts + 1))

    play(story)


def test_a_flood_of_events_during_a_load_and_a_long_queue_lose_and_double_nothing(play: Any) -> None:
    """1,200 events of 40 files while the first one is being loaded: more signals than a run may have."""

    async def story(o: Orchestra) -> None:
        ids = [f"f{number:02}" for number in range(40)]
        all_told = threading.Event()
        o.steps.before_part = lambda part_no: all_told.wait(120) and None
        await o.announce(ids[0], "flood")
        for _ in range(30):
            await asyncio.gather(*(_patiently(o, one) for one in ids))
        # By a new run of the queue, as its first import is being loaded.
        await wait_until_async(lambda: "watch f00" in o.steps.log)
        all_told.set()
        await wait_until_async(lambda: len(o.steps.endings) == 40, 300.0)
        assert o.steps.log.count("validate f00") == 1
        assert sum(line.startswith("validate") for line in o.steps.log) == 40
        events = await closed_runs(o.client, queue_workflow_id("flood"), 3)
        assert len(events) >= 3
        assert max(events) < 2_000

    play(story)


def test_arrivals_that_pile_up_are_carried_into_a_new_run_as_far_as_there_is_room(play: Any) -> None:
    """450 keys of 900 bytes are 400 KB, and an input may have 200 here. What is not carried is reconciliation's to find."""

    async def story(o: Orchestra) -> None:
        again = threading.Event()
        o.steps.before_registering = lambda: again.wait(120) and None
        o.steps.over = Everything()  # it is about what arrives
        names = [f"{number:03}{'k' * 900}" for number in range(450)]
        for first in range(0, 450, 50):
            await asyncio.gather(*(o.announce(name, "piled") for name in names[first : first + 50]))
        again.set()
        queue = o.client.get_workflow_handle(queue_workflow_id("piled"))
        await queue.result()
        assert len(await closed_runs(o.client, queue_workflow_id("piled"), 2)) >= 2
        assert 100 <= len(o.steps.known) <= 450

    play(story)


class Everything(set[Any]):
    """Has whatever it is asked for."""

    def __contains__(self, one: object) -> bool:
        return True


async def _patiently(o: Orchestra, import_id: str) -> WorkflowHandle[Any, Any]:
    """Announce an import as the relay does: again, while Temporal has no room for it."""
    for _ in range(200):
        try:
            return await o.announce(import_id, "flood")
        except RPCError:
            await asyncio.sleep(0.1)
    raise AssertionError("Temporal took no more signals")


@pytest.mark.thorough
def test_a_hundred_million_records_are_dispatched_within_the_limits(play: Any, tmp_path: Path) -> None:
    """A manifest of 500,000 batches, as it is stored; with a loader that does nothing, and the limits a tenth of the usual."""

    async def story(o: Orchestra) -> None:
        manifest = a_manifest(parts=5_000)
        (tmp_path / "manifest.json").write_text(manifest.to_json())
        read = Manifest.from_json((tmp_path / "manifest.json").read_text())
        o.steps.plan = replace(read.plan, parallel=16)
        assert (read.plan.records, read.plan.batches) == (100_000_000, 500_000)
        assert (await o.import_file("huge", "records")).state is State.SUCCEEDED
        assert sorted(o.steps.loaded) == list(range(1, 5_001))
        events = await closed_runs(o.client, import_workflow_id("huge"), 20)
        assert len(events) >= 20
        assert max(events) < 800
        print(f"{len(events)} runs, {sum(events):,} events, the longest {max(events):,}")  # for docs/loading.md

    play(story)


def a_manifest(parts: int) -> Manifest:
    """Of parts of 100 batches of 200 records each, whose waves grow as a tree's levels do, each below one a quarter as far."""
    waves = [min(11, (number * 3 // 4).bit_length()) for number in range(1, parts + 1)]
    return Manifest(
        "huge",
        "records",
        parts * 20_000,
        parts * 100,
        200,
        tuple(
            Part(number, wave, number // 4, 20_000, number * 100 - 99, number * 100, f"{number:064x}", 1_000_000)
            for number, wave in enumerate(waves, start=1)
        ),
    )
