"""One attempt at a step, as Temporal sees it: it says that it lives, and how it ended.

This is one of the three places where errors are caught: here they are told apart for Temporal. A fault of the file or of a
request is never tried again; a fault of the world is, with backoff; anything else is a mistake of ours, and gets a few tries
before the import fails with it.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from datetime import timedelta
from typing import ParamSpec, TypeVar

import structlog
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from temporalio import activity
from temporalio.exceptions import ApplicationError, CancelledError

from pipeline.errors import BulkheadError, FileIsWrong, WorldIsWrong

log = structlog.get_logger()

BEAT_SECONDS = 2.0
UNEXPECTED_ATTEMPTS = 5
"""A mistake of ours may be a passing one (a full disk, say); after this many attempts it is taken for lasting."""

P = ParamSpec("P")
R = TypeVar("R")


def told_apart(step: Callable[P, R]) -> Callable[P, R]:
    """Give every error the form in which Temporal either tries again or does not."""

    @functools.wraps(step)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return step(*args, **kwargs)
        except (CancelledError, ApplicationError):
            raise
        except WorldIsWrong as error:
            wait = None if error.wait_seconds is None else timedelta(seconds=error.wait_seconds)
            raise ApplicationError(str(error), type=_family(error), next_retry_delay=wait) from error
        except BulkheadError as error:
            raise ApplicationError(str(error), type=_family(error), non_retryable=True) from error
        except (DBAPIError, PoolTimeout) as error:
            raise ApplicationError(f"PostgreSQL does not answer as it should: {error}", type="Unreachable") from error
        except Exception as error:
            last = activity.info().attempt >= UNEXPECTED_ATTEMPTS
            log.exception("step failed", step=activity.info().activity_type, attempt=activity.info().attempt)
            message = f"{type(error).__name__}: {error}"
            raise ApplicationError(message, type=type(error).__name__, non_retryable=last) from error

    return run


def _family(error: BulkheadError) -> str:
    """The name that the workflow knows the error by; the file's faults share one."""
    return FileIsWrong.__name__ if isinstance(error, FileIsWrong) else type(error).__name__


def beat(*details: object) -> None:
    """Tell Temporal that we live; raise if the import was canceled meanwhile."""
    activity.heartbeat(*details)
    if activity.is_cancelled():
        raise CancelledError("canceled")


@contextmanager
def beating() -> Iterator[None]:
    """Heartbeats beside a call that cannot give any itself, such as a long statement in PostgreSQL."""
    over, context = threading.Event(), copy_context()

    def go_on() -> None:
        while not over.wait(BEAT_SECONDS):
            activity.heartbeat()

    thread = threading.Thread(target=context.run, args=(go_on,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
