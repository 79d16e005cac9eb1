"""A worker killed at every boundary of every step, before and after each commit: the end is that of an undisturbed run.

One group of steps is one database, bucket and namespace, with a worker of its own (faulty_worker.py); the groups go side by
side, since what they do most of the time is to wait until Temporal notices that a worker is dead.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import uuid
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from pipeline.adapters.s3 import Store
from pipeline.contracts.states import State
from pipeline.ledger.ledger import Ledger
from pipeline.local import postgres, seaweedfs
from pipeline.local.stack import Stack
from pipeline.settings import ROOT, Settings
from tests.support.bulkhead import Bulkhead, balance
from tests.support.durability import digest, orphans_and_rows
from tests.support.temporal_namespace import end_workflows, register_namespace
from tests.support.waiting import wait_until

pytestmark = pytest.mark.early

GROUPS = {
    "register": ("register",),
    "next": ("next",),
    "validate": ("validate",),
    "prepare": ("prepare",),
    "load_part": ("load_part",),
    "finish": ("finish",),
    "notify": ("addressees", "deliver"),
}
LEAST = {"register": 4, "next": 2, "validate": 10, "prepare": 8, "load_part": 8, "finish": 8, "notify": 6}
"""So many points each group has at the least: two for each end, and two for each commit that there is today."""

RECORDS = 450
AT_MOST = 40
"""Imports in one group."""

WAY = ["queued", "validating", "preparing", "loading", "succeeded"]


@dataclass(frozen=True)
class Edges:
    """What one group has to itself."""

    settings: Settings
    folder: Path

    def points(self) -> set[str]:
        """The fault points that were hit so far."""
        return {one.name for one in (self.folder / "points").iterdir()}


@contextmanager
def _edges(stack: Stack, scheduler: str, template: str, folder: Path) -> Iterator[Edges]:
    """A database, a bucket and a namespace; as the fixtures of the same names, of which a test has one each."""
    name = f"t-{uuid.uuid4().hex[:12]}"
    (folder / "points").mkdir(parents=True)
    store = seaweedfs.store(stack.home, name)
    store.ensure_bucket()
    asyncio.run(register_namespace(scheduler, name))
    with psycopg.connect(postgres.url(stack.home), autocommit=True) as connection:
        connection.execute(f'create database "{name}" template {template} strategy file_copy')
        settings = Settings(
            home=folder / "home",
            secret_key="for tests only",
            database_url=postgres.url(stack.home, name),
            bucket=name,
            s3_endpoint=seaweedfs.endpoint_url(stack.home),
            s3_access_key=seaweedfs.ACCESS_KEY,
            s3_secret_key=stack.home.secret("s3"),
            temporal_address=scheduler,
            temporal_namespace=name,
            task_queue="bulkhead",
        )
        yield Edges(settings, folder)
        connection.execute(f'drop database "{name}" with (force)')
    asyncio.run(end_workflows(scheduler, name))
    store.delete_prefix("")
    store._s3.delete_bucket(Bucket=name)


def _plan(edges: Edges, steps: tuple[str, ...], environment: dict[str, str]) -> dict[str, Any]:
    """Return what the process of the workers needs to know of one group."""
    own = {
        "BULKHEAD_HOME": str(edges.settings.home),
        "BULKHEAD_BUCKET": edges.settings.bucket,
        "DATABASE_URL": edges.settings.database_url,
        "TEMPORAL_NAMESPACE": edges.settings.temporal_namespace,
        "BULKHEAD_BATCHES_PER_PART": "1",
        "BULKHEAD_EMAIL_TO": "you@example.org",
    }
    log = str(edges.folder / "worker.log")
    return {"environment": environment | own, "steps": steps, "folder": str(edges.folder / "points"), "log": log}


@pytest.fixture(scope="module")
def environment(stack: Stack, scheduler: str) -> dict[str, str]:
    """What all the workers' settings have in common."""
    return {
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        "LC_ALL": "C.UTF-8",
        "BULKHEAD_SECRET_KEY": "for tests only",
        "AWS_ENDPOINT_URL_S3": str(seaweedfs.endpoint_url(stack.home)),
        "AWS_ACCESS_KEY_ID": seaweedfs.ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": stack.home.secret("s3"),
        "TEMPORAL_ADDRESS": scheduler,
    }


@pytest.fixture(scope="module")
def outcomes(
    stack: Stack, scheduler: str, template_database: str, environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Future[set[str]]]]:
    """What becomes of each group, all of which are under way."""
    folder = tmp_path_factory.mktemp("faults")
    with ThreadPoolExecutor(len(GROUPS)) as pool:
        opened = {group: _edges(stack, scheduler, template_database, folder / group) for group in GROUPS}
        edges = {group: one.__enter__() for group, one in opened.items()}
        plan = folder / "plan.json"
        plan.write_text(json.dumps([_plan(edges[group], steps, environment) for group, steps in GROUPS.items()]))
        process = subprocess.Popen([sys.executable, "-m", "tests.support.faulty_worker", str(plan)], cwd=ROOT)
        try:
            yield {group: pool.submit(_kill_at_every_point, one) for group, one in edges.items()}
        finally:
            process.terminate()
            process.wait(60)
            for one in opened.values():
                one.__exit__(None, None, None)


def rows_of(number: int) -> list[tuple[str, str, str]]:
    """A tree, with ids that no other import has."""
    return [(f"f{number}-{i}", f"f{number}-{(i - 1) // 4}" if i else "", f"name {i}") for i in range(RECORDS)]


def _kill_at_every_point(edges: Edges) -> set[str]:
    """Do one import after the other, until one is disturbed by nothing; the points that were hit."""
    with closing(Bulkhead(edges.settings, Store.of(edges.settings))) as bulkhead:
        for number in range(AT_MOST):
            before = edges.points()
            text = "id,parentId,name\n" + "".join(f"{','.join(row)}\n" for row in rows_of(number))
            one = bulkhead.import_of(bulkhead.drop(text, name=f"{number}.csv"), seconds=600.0)
            assert (one.state, one.inserted, one.records_total) == (State.SUCCEEDED, RECORDS, RECORDS), one
            assert balance(one)
            assert one.parts_total == 3
            assert [move.to_state for move in bulkhead.ledger.imports.moves(one.id)] == WAY
            wait_until(lambda: told(bulkhead.ledger, one.id), 300.0)  # noqa: B023 - it is over here
            wait_until(lambda: not bulkhead.orchestrator.queue_is_running("records"), 300.0)
            if edges.points() == before:
                break
        else:
            raise AssertionError(f"points without end: {sorted(edges.points())}")
        imports = number + 1
        assert len(bulkhead.ledger.imports.page(limit=AT_MOST)) == imports
        assert all(told(bulkhead.ledger, one.id) for one in bulkhead.ledger.imports.page(limit=AT_MOST))
        assert len(list(edges.settings.outbox_dir.glob("*.eml"))) == imports
        orphans, loaded = orphans_and_rows(edges.settings)
        assert orphans == 0
        assert digest(loaded) == digest([row for each in range(imports) for row in rows_of(each)])
        return edges.points()


def told(ledger: Ledger, import_id: str) -> bool:
    """One message arrived, and there is no other."""
    return [bool(row["delivered_at"]) for row in ledger.deliveries.of_import(import_id)] == [True]


@pytest.mark.parametrize("group", GROUPS)
def test_a_worker_killed_at_every_point_of_a_step_changes_nothing(outcomes: dict[str, Future[set[str]]], group: str) -> None:
    points = outcomes[group].result(timeout=1700)
    assert len(points) >= LEAST[group], points
    for step in GROUPS[group]:
        assert {f"{step} begin", f"{step} answer"} <= points
