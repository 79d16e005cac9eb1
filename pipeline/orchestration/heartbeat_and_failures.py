"""One attempt at an activity: send heartbeats, notice cancellation, and convert errors for Temporal's retry policy.

Errors are caught in three places, and this is one. An error of the file or of a request is not retryable; an error of the
environment is, with backoff; a system fault, or an unexpected error, gets a few attempts before the import fails with it. The
message is a sentence or two for the person who reads it; the log has the details.
"""

from __future__ import annotations

import functools
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from datetime import timedelta
from typing import ParamSpec, TypeVar

import structlog
from structlog.contextvars import bound_contextvars
from temporalio import activity
from temporalio.exceptions import ApplicationError, CancelledError

from pipeline.adapters.postgres_errors import DATABASE_ERRORS, as_ours
from pipeline.adapters.postgres_sessions import stop_asked
from pipeline.contracts.steps import REJECTED_FILE
from pipeline.errors import BulkheadError, NoSpace, RejectedFile, SystemFault, TransientError, is_no_space
from pipeline.telemetry import metrics, tracing
from pipeline.telemetry.catalog import STEP_FAILURES, STEP_RETRIES

log = structlog.get_logger()

BEAT_SECONDS = 2.0
FEW_ATTEMPTS = 5
"""A system fault may be transient; after so many attempts that ended with one it is considered permanent."""

REASON_LENGTH = 300
_STEPS_KEPT = 1000

P = ParamSpec("P")
R = TypeVar("R")

_is_beating: ContextVar[bool] = ContextVar("is_beating", default=False)


def converts_errors(step: Callable[P, R]) -> Callable[P, R]:
    """Decorate an activity: send heartbeats while it runs, and convert every error to a retryable or non-retryable one.

    An activity that is canceled ends as canceled, whatever its interrupted work raises.
    """
    return _attempt(step, may_stop=True)


def ignores_cancellation(step: Callable[P, R]) -> Callable[P, R]:
    """Decorate an activity in the same way, but let it complete when it is canceled: what it records must be recorded."""
    return _attempt(step, may_stop=False)


def _attempt(step: Callable[P, R], *, may_stop: bool) -> Callable[P, R]:
    @functools.wraps(step)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        about = _subject(args)
        tracing.annotate(**about, attempt=activity.info().attempt if activity.in_activity() else None)
        try:
            with bound_contextvars(**about), heartbeating(may_stop=may_stop):
                return step(*args, **kwargs)
        except (CancelledError, ApplicationError):
            raise
        except Exception as error:
            if may_stop and activity.in_activity() and activity.is_cancelled():
                raise CancelledError("canceled") from error
            raise _counted(_for_temporal(_ours(error))) from error

    return run


def _subject(given: Sequence[object]) -> dict[str, str | int]:
    """Return which import and part a step works on, as logs and spans show it, from the message that it is given."""
    message = given[-1] if given else None
    ref = getattr(message, "ref", message)
    found = {
        "import_id": getattr(ref, "import_id", None),
        "dataset": getattr(ref, "dataset", None),
        "part": getattr(message, "part_no", None),
    }
    return {name: value for name, value in found.items() if isinstance(value, str | int) and value}


def _ours(error: Exception) -> BulkheadError:
    """Return the error as a BulkheadError."""
    if isinstance(error, BulkheadError):
        return error
    if isinstance(error, DATABASE_ERRORS):
        return as_ours(error)
    if is_no_space(error):
        return NoSpace(
            f"No space is left on the worker's disk: {_line(error)}. The import goes on by itself when there is some."
        )
    fault = f"An unexpected error occurred in the step {activity.info().activity_type}: {_line(error)}."
    return SystemFault(f"{fault} This is a fault of the system, not of the file; please report it with the worker's log.")


def _for_temporal(error: BulkheadError) -> ApplicationError:
    """Return the application error that tells Temporal whether to retry, and when."""
    if isinstance(error, TransientError):
        wait = None if error.wait_seconds is None else timedelta(seconds=error.wait_seconds)
        return ApplicationError(str(error), type=_family(error), next_retry_delay=wait)
    if isinstance(error, SystemFault):
        log.exception("step failed", step=activity.info().activity_type, attempt=activity.info().attempt)
        return ApplicationError(str(error), type=_family(error), non_retryable=_faults.count() >= FEW_ATTEMPTS)
    return ApplicationError(str(error), type=_family(error), non_retryable=True)


def _counted(error: ApplicationError) -> ApplicationError:
    """Count the end of the attempt by the kind of error, and return the error."""
    tracing.annotate(error=error.type)
    if activity.in_activity():
        metric = STEP_FAILURES if error.non_retryable else STEP_RETRIES
        metrics.count(metric, step=activity.info().activity_type, error=str(error.type))
    return error


def _line(error: Exception) -> str:
    """Return the error's class and the first line of its message; of a child's traceback, the last line, which has both."""
    lines = str(error).strip().splitlines() or [""]
    if lines[0].startswith("Traceback"):
        return lines[-1].strip().rstrip(".")[:REASON_LENGTH]
    return f"{type(error).__name__}: {lines[0].strip()}".rstrip(".: ")[:REASON_LENGTH]


class _Faults:
    """Counts the attempts at each activity that ended with a system fault in this process.

    Temporal's attempt number also counts attempts that ended with a transient error.
    """

    def __init__(self) -> None:
        self._counts: OrderedDict[tuple[str, str | None, str], int] = OrderedDict()
        self._lock = threading.Lock()

    def count(self) -> int:
        """Count one more of the current activity; return how many there are now."""
        info = activity.info()
        step = (info.workflow_id or "", info.workflow_run_id, info.activity_id)
        with self._lock:
            self._counts[step] = self._counts.pop(step, 0) + 1
            while len(self._counts) > _STEPS_KEPT:
                self._counts.popitem(last=False)
            return self._counts[step]


_faults = _Faults()


def _family(error: BulkheadError) -> str:
    """Return the error type that the workflow sees; all errors of the file share one."""
    return REJECTED_FILE if isinstance(error, RejectedFile) else type(error).__name__


def beat(*details: object) -> None:
    """Send a heartbeat. Raises CancelledError if the activity was canceled."""
    activity.heartbeat(*details)
    if activity.is_cancelled():
        raise CancelledError("canceled")


@contextmanager
def heartbeating(*, may_stop: bool = True) -> Iterator[None]:
    """Send heartbeats from a thread; with ``may_stop``, long SQL statements end when the activity is canceled.

    Has no effect inside another such block, and in an activity without a heartbeat timeout.
    """
    if _is_beating.get() or not activity.in_activity() or activity.info().heartbeat_timeout is None:
        yield
        return
    over, context = threading.Event(), copy_context()

    def go_on() -> None:
        while not over.wait(BEAT_SECONDS):
            activity.heartbeat()

    thread = threading.Thread(target=context.run, args=(go_on,), name="heartbeat", daemon=True)
    beats, asked = _is_beating.set(True), stop_asked.set(activity.is_cancelled if may_stop else None)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        _is_beating.reset(beats)
        stop_asked.reset(asked)
