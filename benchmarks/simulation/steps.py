"""The steps of an import, which only take their time, and the ledger that they would share."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import ceil
from typing import Any

from temporalio import activity

from pipeline.contracts.messages import (
    Deliveries,
    Ending,
    ImportRef,
    NextImport,
    NextImportRequest,
    ObjectsArrived,
    Outcome,
    PartRef,
    PartResult,
    Plan,
    Verdict,
)
from pipeline.contracts.object_keys import dataset_of
from pipeline.contracts.states import State
from pipeline.contracts.steps import TaskQueue

PART_RECORDS = 50_000

Steps = Mapping[TaskQueue, list[Callable[..., Any]]]


def seconds_of(step: str, records: int) -> float:
    """Return how long a real step takes on an idle machine (results/latency.json and results/scale.json, on a fast day)."""
    fixed, each = {
        "register": (0.010, 0.0),
        "next": (0.005, 0.0),
        "validate": (0.50, 2.8e-6),
        "prepare": (0.028, 0.0),
        "load_part": (0.028, 7.5e-6),  # beside one other part, on two cores of PostgreSQL
        "finish": (0.028, 0.0),
    }[step]
    return fixed + each * records


@dataclass
class Simulated:
    """The steps, and the ledger that they would share."""

    records: int  # of each file
    parallel: int = 3
    waiting: dict[str, deque[ImportRef]] = field(default_factory=lambda: defaultdict(deque))
    arrived_at: dict[str, float] = field(default_factory=dict)
    waited: list[float] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)

    @activity.defn
    async def register(self, arrivals: ObjectsArrived) -> None:
        for one in arrivals.items:
            dataset = str(dataset_of(one.key))
            self.waiting[dataset].append(ImportRef(one.key.split("/")[2], dataset, one.bucket, one.key, "etag"))
        await asyncio.sleep(seconds_of("register", 0) * len(arrivals.items))

    @activity.defn(name="next")
    async def next_import(self, asked: NextImportRequest) -> NextImport:
        await asyncio.sleep(seconds_of("next", 0))
        waiting = self.waiting[asked.dataset]
        return NextImport(waiting[0] if waiting else None)

    @activity.defn
    async def validate(self, ref: ImportRef) -> Verdict:
        self.waited.append(time.time() - self.arrived_at.get(ref.import_id, time.time()))
        await self._work("validate", self.records)
        return Verdict(self.records, 0, 0)

    @activity.defn
    async def prepare(self, ref: ImportRef) -> Plan:
        await self._work("prepare", self.records)
        parts = ceil(self.records / PART_RECORDS)
        needs = (0, *(1 for _ in range(parts - 1)))  # depth first: all parts need the spine, which is the first one
        return Plan(self.records, ceil(self.records / 150), parts, (1, parts)[: min(parts, 2)], self.parallel, needs=needs)

    @activity.defn
    async def load_part(self, part: PartRef) -> PartResult:
        loaded = min(self.records, PART_RECORDS)
        await self._work("load_part", loaded)
        return PartResult(loaded)

    @activity.defn
    async def finish(self, ending: Ending) -> Outcome:
        await self._work("finish", 0)
        self.waiting[ending.ref.dataset].popleft()
        self.ended.append(ending.ref.import_id)
        return Outcome(ending.ref.import_id, State.SUCCEEDED)

    @activity.defn(name="addressees")
    async def list_recipients(self, outcome: Outcome) -> Deliveries:
        return Deliveries()

    @activity.defn
    async def watch(self, ref: ImportRef) -> None:
        while ref.import_id not in self.ended:
            activity.heartbeat()
            await asyncio.sleep(0.5)

    async def _work(self, step: str, records: int) -> None:
        """Take as long as the real step, with its heartbeats."""
        until = time.monotonic() + seconds_of(step, records)
        while (left := until - time.monotonic()) > 0:
            await asyncio.sleep(min(left, 2.0))
            activity.heartbeat()

    def by_task_queue(self) -> dict[TaskQueue, list[Callable[..., Any]]]:
        """Return the steps as a worker serves them."""
        steps: dict[TaskQueue, list[Callable[..., Any]]] = defaultdict(list)
        steps[TaskQueue.SHORT] = [self.register, self.next_import, self.finish]
        steps[TaskQueue.FILES] = [self.validate, self.prepare]
        steps[TaskQueue.PARTS] = [self.load_part]
        steps[TaskQueue.MESSAGES] = [self.list_recipients]
        steps[TaskQueue.WAITS] = [self.watch]
        return steps
