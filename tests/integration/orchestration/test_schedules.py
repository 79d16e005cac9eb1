"""Schedules, and a namespace that is lost, on a Temporal server of their own: the shared one runs no schedules."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import timedelta

import pytest
from pytest_httpserver import HTTPServer
from temporalio.api.operatorservice.v1 import DeleteNamespaceRequest
from temporalio.client import Client
from werkzeug import Request, Response

from pipeline.adapters.s3 import Store
from pipeline.adapters.temporal import TemporalClient
from pipeline.contracts.options import Options
from pipeline.contracts.states import State
from pipeline.settings import ROOT, Settings
from tests.support.bulkhead import Bulkhead, tree
from tests.support.import_steps import ended, over, slow, upload
from tests.support.temporal_namespace import register_namespace
from tests.support.temporal_server import temporal_server
from tests.support.waiting import wait_until

pytestmark = pytest.mark.early


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Temporal server that runs schedules."""
    with temporal_server(tmp_path_factory.mktemp("scheduler")) as address:
        yield address


@pytest.fixture
def settings(settings: Settings, scheduler: str) -> Settings:
    """Let receivers on this machine be called, on that server, with a namespace and a task queue of the test's own."""
    name = f"t-{uuid.uuid4().hex[:12]}"
    asyncio.run(register_namespace(scheduler, name))
    own = {"temporal_address": scheduler, "temporal_namespace": name, "task_queue": name}
    return settings.model_copy(update={"webhook_allow_private": True, **own})


@pytest.fixture
def orchestrator(settings: Settings) -> Iterator[TemporalClient]:
    with closing(TemporalClient.of(settings)) as one:
        yield one


@pytest.fixture
def bulkhead(settings: Settings, store: Store) -> Iterator[Bulkhead]:
    with closing(Bulkhead(settings, store)) as one:
        yield one


def test_schedules_follow_the_settings_and_stay_paused(settings: Settings, orchestrator: TemporalClient) -> None:
    async def schedule(pause: bool = False) -> tuple[timedelta, str, bool]:
        client = await Client.connect(settings.temporal_address, namespace=settings.temporal_namespace)
        handle = client.get_schedule_handle("reconcile")
        if pause:
            await handle.pause()
        there = (await handle.describe()).schedule
        return there.spec.intervals[0].every, there.action.task_queue, there.state.paused  # type: ignore[union-attr]

    orchestrator.schedule_reconciliation(60)
    assert asyncio.run(schedule()) == (timedelta(seconds=60), settings.task_queue, False)
    orchestrator.schedule_reconciliation(7)
    assert asyncio.run(schedule(pause=True)) == (timedelta(seconds=7), settings.task_queue, True)
    other = settings.model_copy(update={"task_queue": "another"})
    with closing(TemporalClient.of(other)) as another:
        another.schedule_reconciliation(7)
    assert asyncio.run(schedule()) == (timedelta(seconds=7), "another", True)


def test_a_namespace_that_is_lost_under_a_running_worker_costs_a_minute(
    settings: Settings, environment: Mapping[str, str], bulkhead: Bulkhead, httpserver: HTTPServer
) -> None:
    seen: list[Request] = []
    httpserver.expect_request("/hook").respond_with_handler(lambda request: seen.append(request) or Response())  # type: ignore[func-returns-value]
    slow(bulkhead, 1.0)
    more = {
        "BULKHEAD_WEBHOOK_ALLOW_PRIVATE": "true",
        "BULKHEAD_TASK_QUEUE": settings.task_queue,
        "BULKHEAD_BATCHES_PER_PART": "1",
        "BULKHEAD_RECONCILE_SECONDS": "5",
        "PYTHONPATH": str(ROOT),
    }
    worker = subprocess.Popen([sys.executable, "-m", "pipeline.orchestration.worker"], env={**environment, **more}, cwd=ROOT)
    try:
        one = upload(bulkhead, tree(4000), Options(notify=(httpserver.url_for("/hook"),)), wait=False)
        wait_until(lambda: bulkhead.ledger.imports.known(one.id).parts_done >= 2, seconds=60)
        told = over(bulkhead.ledger, bulkhead.store, [httpserver.url_for("/hook")])
        asyncio.run(lose_namespace(settings))
        time.sleep(12)  # until the server has noticed, and refuses the worker's polls
        loaded, lost = bulkhead.ledger.imports.known(one.id).parts_done, time.monotonic()
        asyncio.run(register_namespace(settings.temporal_address, settings.temporal_namespace))
        wait_until(
            lambda: bulkhead.ledger.imports.known(one.id).parts_done > loaded, seconds=90
        )  # 42 to 52 s, measured on a busy machine
        print(f"it went on {time.monotonic() - lost:.1f} s after the namespace was there again")
        slow(bulkhead, 0.0)
        assert ended(bulkhead, one.id).state is State.SUCCEEDED
        wait_until(lambda: len(seen) == 2, seconds=60)
        assert bulkhead.rows("select count(*) from warehouse.records") == [(4000,)]
        assert ended(bulkhead, told).state is State.REJECTED
    finally:
        worker.terminate()
        worker.wait(60)


async def lose_namespace(settings: Settings) -> None:
    """As after Temporal's database was lost: nothing of it is left, and it answers that there is no such namespace."""
    client = await Client.connect(settings.temporal_address, namespace=settings.temporal_namespace)
    await client.operator_service.delete_namespace(DeleteNamespaceRequest(namespace=settings.temporal_namespace))
