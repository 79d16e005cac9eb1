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
"""Error type of a step that rejects the file. Recorded histories contain this name, so it must not change."""

HEARTBEAT_SECONDS = 10.0
"""Heartbeat timeout: a step without a heartbeat for this long is considered dead, with its worker."""

Takes = TypeVar("Takes")
Gives = TypeVar("Gives")


class TaskQueue(StrEnum):
    """Task queues, one for each kind of work that must not wait for another. Each worker limits the concurrency of each."""

    SHORT = ""  # workflows, and steps of a moment each
    FILES = "files"  # a whole file: minutes, and gigabytes of memory
    PARTS = "parts"  # the transaction of a part: about a second, and a connection
    WAITS = "waits"  # waiting for another workflow: as long as that takes, but no thread
    MESSAGES = "messages"  # as long as a receiver takes to answer, up to half a minute each
    RESULTS = "results"  # a whole file, for a person who waits for it
    RECONCILIATION = "reconciliation"  # minutes, every minute
    CLEAN_UP = "clean-up"  # up to hours
    MARTS = "marts"  # the materialized views of a dataset: up to their time limit


MOVED_FROM: Mapping[TaskQueue, tuple[TaskQueue, ...]] = {
    TaskQueue.SHORT: (TaskQueue.MESSAGES, TaskQueue.RECONCILIATION, TaskQueue.CLEAN_UP),
    TaskQueue.FILES: (TaskQueue.RESULTS,),
}
"""Where steps were before they got a task queue of their own: workflows that started then still schedule them there."""


def task_queue_name(base: str, queue: TaskQueue) -> str:
    """Return the name of a task queue in Temporal. ``base`` is the configured name, used for workflows and short steps."""
    return f"{base}/{queue}" if queue else base


@dataclass(frozen=True)
class Step(Generic[Takes, Gives]):
    """An activity by name and types: the workflow calls it without importing its code. Names are in recorded histories."""

    name: str
    takes: type[Takes]
    gives: type[Gives]
    queue: TaskQueue = TaskQueue.SHORT


REGISTER = Step("register", ObjectsArrived, type(None))
NEXT_IMPORT = Step("next", NextImportRequest, NextImport)
AWAIT_IMPORT = Step("watch", ImportRef, type(None), TaskQueue.WAITS)
VALIDATE = Step("validate", ImportRef, Verdict, TaskQueue.FILES)
PREPARE = Step("prepare", ImportRef, Plan, TaskQueue.FILES)
DRY_RUN = Step("preview", ImportRef, DryRunCounts, TaskQueue.FILES)
LOAD_PART = Step("load_part", PartRef, PartResult, TaskQueue.PARTS)
FAIL_PART = Step("give_up_part", PartRef, PartResult, TaskQueue.FILES)
PAUSE = Step("hold", ImportRef, PauseState)
RESUME = Step("go_on", ImportRef, PauseState)
FINISH = Step("finish", Ending, Outcome)
CLOSE = Step("close", Ending, Outcome)
REFRESH_MARTS = Step("refresh_marts", MartsRun, type(None), TaskQueue.MARTS)
WRITE_FAILED = Step("write_failed", Ending, Written, TaskQueue.FILES)
WRITE_RESULTS = Step("write_results", ResultsWanted, type(None), TaskQueue.RESULTS)
LIST_RECIPIENTS = Step("addressees", Outcome, Deliveries, TaskQueue.MESSAGES)
DELIVER = Step("deliver", Delivery, type(None), TaskQueue.MESSAGES)
SEND_TEST = Step("try_receiver", Delivery, type(None), TaskQueue.MESSAGES)
RECONCILE = Step("reconcile", type(None), Reconciled, TaskQueue.RECONCILIATION)
CLEAN = Step("clean", CleanRun, Cleaned, TaskQueue.CLEAN_UP)
