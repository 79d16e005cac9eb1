"""The steps: one activity each, with its message in, its message out and its task queue."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

from pipeline.contracts.audits import AuditEnding, AuditRef, AuditRun
from pipeline.contracts.dataset_messages import DatasetDeliveries, DatasetDelivery, DatasetMessage
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
    AUDITS = "audits"  # a whole table, and as much memory as a validation: minutes, and no import waits for it


class Work(StrEnum):
    """Kinds of work that a worker can be limited to (``bulkhead worker --queues``), so that each can be scaled alone.

    Every worker also serves the workflows and their short steps, which are in none of these.
    """

    VALIDATION = "validation"
    LOADING = "loading"
    MESSAGES = "messages"
    UPKEEP = "upkeep"  # what no import waits for


TASK_QUEUES: Mapping[Work, tuple[TaskQueue, ...]] = {
    Work.VALIDATION: (TaskQueue.FILES, TaskQueue.RESULTS),
    Work.LOADING: (TaskQueue.PARTS,),
    Work.MESSAGES: (TaskQueue.MESSAGES,),
    Work.UPKEEP: (TaskQueue.RECONCILIATION, TaskQueue.CLEAN_UP, TaskQueue.MARTS, TaskQueue.AUDITS),
}
"""The task queues of each kind of work. Their names are in running workflows, so they do not change (decision 32)."""

EVERY_WORKER = (TaskQueue.SHORT, TaskQueue.WAITS)
"""The task queues that every worker serves: little work, and without them nothing advances."""


def served_queues(works: Iterable[Work]) -> tuple[TaskQueue, ...]:
    """Return the task queues of a worker for these kinds of work; for none named, all."""
    wanted = set(works) or set(Work)
    return (*EVERY_WORKER, *(queue for work, queues in TASK_QUEUES.items() if work in wanted for queue in queues))


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
LIST_DATASET_RECIPIENTS = Step("silence_recipients", DatasetMessage, DatasetDeliveries, TaskQueue.MESSAGES)
DELIVER_DATASET_MESSAGE = Step("deliver_silence", DatasetDelivery, type(None), TaskQueue.MESSAGES)
RECONCILE = Step("reconcile", type(None), Reconciled, TaskQueue.RECONCILIATION)
CLEAN = Step("clean", CleanRun, Cleaned, TaskQueue.CLEAN_UP)
AUDIT = Step("audit", AuditRef, type(None), TaskQueue.AUDITS)
END_AUDIT = Step("end_audit", AuditEnding, type(None))
OPEN_AUDIT = Step("open_audit", AuditRun, type(None))
