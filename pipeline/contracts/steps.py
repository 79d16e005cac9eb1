"""The steps: one activity each, with its message in, its message out and its task queue."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

from pipeline.contracts.messages import (
    Arrivals,
    Asked,
    Cleaned,
    CleanRun,
    Delivery,
    Ending,
    Held,
    ImportRef,
    MartsRun,
    Next,
    Outcome,
    PartRef,
    PartResult,
    Plan,
    Preview,
    Reconciled,
    ResultsWanted,
    Told,
    Verdict,
    Written,
)

HEARTBEAT_SECONDS = 10.0
"""A step that has said nothing for so long has died with its worker."""

Takes = TypeVar("Takes")
Gives = TypeVar("Gives")


class Lane(StrEnum):
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


MOVED_FROM: Mapping[Lane, tuple[Lane, ...]] = {
    Lane.SHORT: (Lane.MESSAGE, Lane.RECONCILE, Lane.CLEAN),
    Lane.FILE: (Lane.RESULTS,),
}
"""Lanes whose steps belonged to another one: workflows that began then may still ask for them there."""


def task_queue_of(task_queue: str, lane: Lane) -> str:
    """The name of the lane's own task queue, where ``task_queue`` is that of the short steps and of the workflows."""
    return f"{task_queue}/{lane}" if lane else task_queue


@dataclass(frozen=True)
class Step(Generic[Takes, Gives]):
    """An activity by name and types: the workflow calls it without importing its code."""

    name: str
    takes: type[Takes]
    gives: type[Gives]
    lane: Lane = Lane.SHORT


REGISTER = Step("register", Arrivals, type(None))
NEXT = Step("next", Asked, Next)
WATCH = Step("watch", ImportRef, type(None), Lane.WAIT)
VALIDATE = Step("validate", ImportRef, Verdict, Lane.FILE)
PREPARE = Step("prepare", ImportRef, Plan, Lane.FILE)
PREVIEW = Step("preview", ImportRef, Preview, Lane.FILE)
LOAD_PART = Step("load_part", PartRef, PartResult, Lane.PART)
GIVE_UP_PART = Step("give_up_part", PartRef, PartResult, Lane.FILE)
HOLD = Step("hold", ImportRef, Held)
GO_ON = Step("go_on", ImportRef, Held)
FINISH = Step("finish", Ending, Outcome)
CLOSE = Step("close", Ending, Outcome)
REFRESH_MARTS = Step("refresh_marts", MartsRun, type(None), Lane.MART)
WRITE_FAILED = Step("write_failed", Ending, Written, Lane.FILE)
WRITE_RESULTS = Step("write_results", ResultsWanted, type(None), Lane.RESULTS)
ADDRESSEES = Step("addressees", Outcome, Told, Lane.MESSAGE)
DELIVER = Step("deliver", Delivery, type(None), Lane.MESSAGE)
TRY_RECEIVER = Step("try_receiver", Delivery, type(None), Lane.MESSAGE)
RECONCILE = Step("reconcile", type(None), Reconciled, Lane.RECONCILE)
CLEAN = Step("clean", CleanRun, Cleaned, Lane.CLEAN)
