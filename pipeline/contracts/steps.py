"""The steps: one activity each, with its message in, its message out and its task queue."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

from pipeline.contracts.messages import (
    Cleaned,
    CleanRun,
    Deliveries,
    Delivery,
    DryRunCounts,
    Ending,
    ImportRef,
    MartsRun,
    NextImport,
    NextImportRequest,
    ObjectsArrived,
    Outcome,
    PartRef,
    PartResult,
    PauseState,
    Plan,
    Reconciled,
    ResultsWanted,
    Verdict,
    Written,
)

REJECTED_FILE = "FileIsWrong"
"""Type of the failure of a step that rejects the file. Recorded histories have it under this name, so the name stays."""

HEARTBEAT_SECONDS = 10.0
"""A step that has said nothing for so long has died with its worker."""

Takes = TypeVar("Takes")
Gives = TypeVar("Gives")


class TaskQueue(StrEnum):
    """Kinds of work that must not wait for one another. Each is a task queue, of which a worker does so much at once."""

    SHORT = ""  # a moment each
    FILE = "files"  # a whole file: minutes, and gigabytes of memory
    PART = "parts"  # a part's transaction: a second or so, and a connection
    WAIT = "waits"  # for the end of another workflow: as long as that takes, but no thread
    MESSAGE = "messages"  # as long as a receiver takes to answer, up to half a minute each
    RESULTS = "results"  # a whole file, for a person who waits for it
    RECONCILE = "reconciliation"  # minutes, every minute
    CLEAN = "clean-up"  # up to hours
    MART = "marts"  # a dataset's materialized views: as long as their limit lets them


MOVED_FROM: Mapping[TaskQueue, tuple[TaskQueue, ...]] = {
    TaskQueue.SHORT: (TaskQueue.MESSAGE, TaskQueue.RECONCILE, TaskQueue.CLEAN),
    TaskQueue.FILE: (TaskQueue.RESULTS,),
}
"""Lanes whose steps belonged to another one: workflows that began then may still ask for them there."""


def task_queue_of(task_queue: str, lane: TaskQueue) -> str:
    """The name of the lane's own task queue, where ``task_queue`` is that of the short steps and of the workflows."""
    return f"{task_queue}/{lane}" if lane else task_queue


@dataclass(frozen=True)
class Step(Generic[Takes, Gives]):
    """An activity by name and types: the workflow calls it without importing its code."""

    name: str
    takes: type[Takes]
    gives: type[Gives]
    lane: TaskQueue = TaskQueue.SHORT


REGISTER = Step("register", ObjectsArrived, type(None))
NEXT = Step("next", NextImportRequest, NextImport)
WATCH = Step("watch", ImportRef, type(None), TaskQueue.WAIT)
VALIDATE = Step("validate", ImportRef, Verdict, TaskQueue.FILE)
PREPARE = Step("prepare", ImportRef, Plan, TaskQueue.FILE)
PREVIEW = Step("preview", ImportRef, DryRunCounts, TaskQueue.FILE)
LOAD_PART = Step("load_part", PartRef, PartResult, TaskQueue.PART)
GIVE_UP_PART = Step("give_up_part", PartRef, PartResult, TaskQueue.FILE)
HOLD = Step("hold", ImportRef, PauseState)
GO_ON = Step("go_on", ImportRef, PauseState)
FINISH = Step("finish", Ending, Outcome)
CLOSE = Step("close", Ending, Outcome)
REFRESH_MARTS = Step("refresh_marts", MartsRun, type(None), TaskQueue.MART)
WRITE_FAILED = Step("write_failed", Ending, Written, TaskQueue.FILE)
WRITE_RESULTS = Step("write_results", ResultsWanted, type(None), TaskQueue.RESULTS)
ADDRESSEES = Step("addressees", Outcome, Deliveries, TaskQueue.MESSAGE)
DELIVER = Step("deliver", Delivery, type(None), TaskQueue.MESSAGE)
TRY_RECEIVER = Step("try_receiver", Delivery, type(None), TaskQueue.MESSAGE)
RECONCILE = Step("reconcile", type(None), Reconciled, TaskQueue.RECONCILE)
CLEAN = Step("clean", CleanRun, Cleaned, TaskQueue.CLEAN)
