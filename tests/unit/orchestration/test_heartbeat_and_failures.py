"""How the errors of a step are told to Temporal: tried again for as long as it takes, a few times, or never."""

from __future__ import annotations

import errno
import threading
import uuid
from dataclasses import replace
from datetime import timedelta
from typing import Any

import duckdb
import psycopg
import pytest
from psycopg import errors as pg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from temporalio import activity
from temporalio.exceptions import ApplicationError, CancelledError
from temporalio.testing import ActivityEnvironment

from pipeline.adapters.postgres_errors import Kind, as_ours, kind_of
from pipeline.adapters.postgres_sessions import stop_asked
from pipeline.errors import Crashed, DamagedPart, FileReplaced, NoSpace, NotLoading, Superseded
from pipeline.orchestration.heartbeat_and_failures import FEW_ATTEMPTS, beat, converts_errors, ignores_cancellation

TRANSIENT = [
    *(pg.DiskFull, pg.OutOfMemory, pg.TooManyConnections, pg.AdminShutdown, pg.CrashShutdown, pg.CannotConnectNow),
    *(pg.SerializationFailure, pg.DeadlockDetected, pg.LockNotAvailable, pg.ConnectionException, pg.IoError),
    *(pg.ReadOnlySqlTransaction, pg.IdleInTransactionSessionTimeout, psycopg.OperationalError, psycopg.InterfaceError),
]
DATA = [
    *(pg.DivisionByZero, pg.InvalidTextRepresentation, pg.ForeignKeyViolation, pg.UniqueViolation, pg.CardinalityViolation),
    *(pg.ProgramLimitExceeded, pg.RaiseException, pg.WithCheckOptionViolation, pg.UntranslatableCharacter, psycopg.DataError),
]
SYSTEM = [
    *(pg.UndefinedTable, pg.UndefinedColumn, pg.UndefinedFunction, pg.InsufficientPrivilege, pg.SyntaxError),
    *(pg.QueryCanceled, pg.StatementTooComplex, pg.InFailedSqlTransaction, pg.InvalidSqlStatementName, pg.InternalError_),
    *(pg.FeatureNotSupported, pg.InvalidPassword, pg.InvalidCatalogName, psycopg.ProgrammingError),
]


@pytest.mark.parametrize(
    ("raised", "kind"),
    [
        *((one, Kind.TRANSIENT) for one in TRANSIENT),
        *((one, Kind.DATA) for one in DATA),
        *((one, Kind.SYSTEM) for one in (*SYSTEM[:6], *SYSTEM[7:])),
        (pg.StatementTooComplex, Kind.SYSTEM),
    ],
)
def test_every_error_of_postgresql_is_of_one_kind_also_within_sqlalchemys(raised: type[psycopg.Error], kind: Kind) -> None:
    error = raised("it went wrong\nLINE 1: select secret")
    assert kind_of(error) is kind
    assert kind_of(DBAPIError("select secret", {"id": "secret"}, error)) is kind
    said = str(as_ours(error))
    assert "secret" not in said
    assert "\n" not in said
    assert "it went wrong" in said


def test_a_pool_without_a_free_connection_and_a_connection_that_broke_pass() -> None:
    assert kind_of(PoolTimeout("QueuePool limit")) is Kind.TRANSIENT
    assert kind_of(DBAPIError("", {}, pg.UndefinedTable("x"), connection_invalidated=True)) is Kind.TRANSIENT


def in_a_step() -> ActivityEnvironment:
    """A step of which heartbeats are wanted."""
    environment = ActivityEnvironment()
    environment.info = replace(environment.info, heartbeat_timeout=timedelta(seconds=9))
    return environment


class Attempts:
    """Attempts at one step, as Temporal makes them."""

    def __init__(self, raised: BaseException, *, step: Any = converts_errors) -> None:
        @step
        def run() -> None:
            raise raised

        self._run = run
        self._id = uuid.uuid4().hex

    def next(self, number: int = 1) -> ApplicationError:
        environment = in_a_step()
        environment.info = replace(environment.info, workflow_id=self._id, activity_type="validate", attempt=number)
        with pytest.raises(ApplicationError) as told:
            environment.run(self._run)
        return told.value


@pytest.mark.parametrize(
    ("raised", "type_"),
    [
        (DBAPIError("select", {}, pg.AdminShutdown("terminating connection")), "Unreachable"),
        (PoolTimeout("QueuePool limit"), "Unreachable"),
        (DBAPIError("insert", {}, pg.DiskFull("could not extend file")), "NoSpace"),
        (OSError(errno.ENOSPC, "No space left on device"), "NoSpace"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "NoSpace"),
        (duckdb.IOException("IO Error: Could not write file: No space left on device"), "NoSpace"),
        (NoSpace(), "NoSpace"),
        (Superseded(), "Superseded"),
        (Crashed(), "Crashed"),
    ],
)
def test_what_passes_is_tried_again_without_end(raised: Exception, type_: str) -> None:
    attempts = Attempts(raised)
    told = [attempts.next(number) for number in range(1, 3 * FEW_ATTEMPTS)]
    assert {(one.type, one.non_retryable) for one in told} == {(type_, False)}


@pytest.mark.parametrize(
    ("raised", "type_", "said"),
    [
        (DBAPIError("s", {}, pg.UndefinedTable('relation "ledger.import" does not exist')), "SystemFault", "bulkhead migrate"),
        (DBAPIError("s", {}, pg.InsufficientPrivilege("permission denied")), "SystemFault", "DATABASE_URL"),
        (DBAPIError("s", {}, pg.DivisionByZero("division by zero")), "DataFault", "cannot hold a value: division by zero"),
        (pg.QueryCanceled("canceling statement due to statement timeout"), "SystemFault", "statement timeout"),
        (KeyError("colour"), "SystemFault", "in the step validate: KeyError: 'colour'. This is a fault of the system"),
        (
            RuntimeError("Traceback (most recent call last):\n  File x\nValueError: odd\n"),
            "SystemFault",
            "validate: ValueError: odd.",
        ),
    ],
)
def test_a_fault_of_the_system_gets_a_few_attempts_and_then_a_sentence(raised: Exception, type_: str, said: str) -> None:
    attempts = Attempts(raised)
    told = [attempts.next(1000 + number) for number in range(FEW_ATTEMPTS)]  # those that waited for the world do not count
    assert [one.non_retryable for one in told] == [*[False] * (FEW_ATTEMPTS - 1), True]
    assert {one.type for one in told} == {type_}
    assert said in told[-1].message
    assert "\n" not in told[-1].message
    assert "Traceback" not in told[-1].message


@pytest.mark.parametrize("raised", [FileReplaced(), DamagedPart(), NotLoading()])
def test_an_error_that_a_retry_cannot_help_is_reported_at_once(raised: Exception) -> None:
    assert Attempts(raised).next().non_retryable


@pytest.mark.parametrize("raised", [pg.QueryCanceled("canceling statement"), KeyError("x"), FileReplaced()])
def test_a_step_that_is_canceled_ends_as_canceled_whatever_its_work_raises(raised: Exception) -> None:
    environment, asked = in_a_step(), list[bool]()

    @activity.defn(no_thread_cancel_exception=True)
    @converts_errors
    def step() -> None:
        environment.cancel()
        hook = stop_asked.get()
        asked.append(bool(hook and hook()))
        raise raised

    with pytest.raises(CancelledError):
        environment.run(step)
    assert asked == [True], "statements hear of it"


def test_a_step_that_writes_down_the_end_is_not_stopped() -> None:
    environment = in_a_step()

    @activity.defn(no_thread_cancel_exception=True)
    @ignores_cancellation
    def step() -> str:
        environment.cancel()
        assert stop_asked.get() is None
        return "written"

    assert environment.run(step) == "written"


def test_a_step_beats_all_the_time_that_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.orchestration.heartbeat_and_failures.BEAT_SECONDS", 0.01)
    environment, beats = in_a_step(), threading.Semaphore(0)
    environment.on_heartbeat = lambda *_: beats.release()

    @converts_errors
    def step() -> bool:
        return all(beats.acquire(timeout=10) for _ in range(5))

    assert environment.run(step)
    with pytest.raises(RuntimeError):
        beat()
    assert not activity.in_activity()
