"""The audit log: who did what to what, from where, with what result. Append-only, and chained by hashes (audit_chain.py).

An event never has a value of a record, and never a secret: IDs, names of datasets and of keys, and codes of problems. An event
is appended in the transaction of the action that it records wherever there is one, as its last statement: if the event cannot
be written, the action does not happen (docs/decisions/0036).
"""

from __future__ import annotations

import getpass
import json
import os
import re
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Engine, RowMapping

from pipeline.ledger.audit_chain import Verdict, shown_time, verify
from pipeline.ledger.statements import Statements, execute

SHORTEST_KEEP = timedelta(days=30)
"""The shortest retention of the audit log; the database's function removes nothing younger."""

TEXT_CHARACTERS_MAX = 200
SQL_CHARACTERS_MAX = 10_000
_PAGE_EVENTS = 2_000
_UNWANTED = re.compile("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]")


class Action(StrEnum):
    """What an event records."""

    SIGN_IN = "sign_in"
    SIGN_IN_FAILED = "sign_in_failed"
    SIGN_OUT = "sign_out"
    BREAK_GLASS = "break_glass"
    KEY_CREATED = "key_created"
    KEY_ROTATED = "key_rotated"
    KEY_EXPIRED = "key_expired"
    KEY_REVOKED = "key_revoked"
    UPLOAD = "upload"
    APPROVAL = "approval"
    CANCEL = "cancel"
    PAUSE = "pause"
    RESUME = "resume"
    RETRY = "retry"
    PATCH_CHANGED = "patch_changed"
    UNDO = "undo"
    DATASET_CHANGED = "dataset_changed"
    MIGRATION = "migration"
    AUDIT_STARTED = "audit_started"
    SQL = "sql"
    EXPORT = "export"
    DOWNLOAD = "download"
    RECIPIENT_ADDED = "recipient_added"
    RECIPIENT_REMOVED = "recipient_removed"
    RECIPIENT_ENABLED = "recipient_enabled"
    DATABASE_LOGIN_CREATED = "database_login_created"
    DATABASE_LOGIN_REVOKED = "database_login_revoked"
    QUERY_SAVED = "query_saved"
    QUERY_DELETED = "query_deleted"
    SETTINGS_CHANGED = "settings_changed"
    AUDIT_LOG_EXPORT = "audit_log_export"
    AUDIT_LOG_REMOVAL = "audit_log_removal"


READS = frozenset({Action.SQL, Action.EXPORT, Action.DOWNLOAD})
"""Actions that change nothing. If the database server crashes, those of the last second may be missing; the chain is whole."""


class Result(StrEnum):
    """How an action ended: done, refused by Bulkhead (a 4xx status), or failed by an error (5xx)."""

    OK = "ok"
    REFUSED = "refused"
    FAILED = "failed"

    @classmethod
    def of_status(cls, status: int) -> Result:
        """Return the result that an HTTP status means."""
        return cls.OK if status < 400 else cls.REFUSED if status < 500 else cls.FAILED


@dataclass(frozen=True)
class Actor:
    """Who acts. ``kind``: key, user (signed in by SSO), cli, system, or anonymous."""

    kind: str
    id: str = ""
    name: str = ""


SYSTEM = Actor("system", name="bulkhead")
ANONYMOUS = Actor("anonymous")


def cli_actor() -> Actor:
    """Return who runs a command: the user of the operating system, and the machine."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # a container's user without a name
        user = f"uid {os.getuid()}"
    return Actor("cli", name=f"{user}@{socket.gethostname()}")


@dataclass(frozen=True)
class Event:
    """One event before it is appended. ``details`` are texts: no value of a record, no secret."""

    action: Action
    actor: Actor
    target_kind: str = ""
    target_id: str = ""
    result: Result = Result.OK
    status: int | None = None
    reason: str = ""
    address: str = ""
    user_agent: str = ""
    request_id: str = ""
    trace_id: str = ""
    details: Mapping[str, str] = field(default_factory=dict)

    def about(self, kind: str, id_: str, **details: str) -> Event:
        """Return the same event about another target, with more details."""
        return replace(self, target_kind=kind, target_id=id_, details={**self.details, **details})


@dataclass(frozen=True)
class Wanted:
    """Filters of events; None: any. ``actor`` is an ID or a part of a name, ``until`` is exclusive."""

    actor: str | None = None
    action: str | None = None
    target: str | None = None
    result: str | None = None
    since: datetime | None = None
    until: datetime | None = None


Stored = dict[str, Any]
"""An event as it is stored, by COLUMNS."""

Also = Callable[[Connection], None]
"""Appends an event at the end of a transaction of the ledger."""


def clean(text: str, most: int = TEXT_CHARACTERS_MAX) -> str:
    """Return a text from outside in one line, without control characters, cut to ``most`` characters."""
    return _UNWANTED.sub(" ", text)[:most].strip()


def append(connection: Connection, event: Event) -> None:
    """Append an event within the caller's transaction, as its last statement: other writers wait until it ends."""
    execute(
        connection,
        "audit_log/append",
        action=str(event.action),
        actor_kind=event.actor.kind,
        actor_id=clean(event.actor.id),
        actor_name=clean(event.actor.name),
        target_kind=event.target_kind,
        target_id=clean(event.target_id),
        result=str(event.result),
        status=event.status,
        reason=clean(event.reason),
        address=clean(event.address),
        user_agent=clean(event.user_agent, 120),
        request_id=clean(event.request_id),
        trace_id=clean(event.trace_id),
        details=json.dumps({clean(name): clean(value, SQL_CHARACTERS_MAX) for name, value in event.details.items()}),
    )


class AuditLog:
    """Append and read events; each method is one transaction. Safe to share between threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._statements = Statements(engine)

    def record(self, event: Event) -> None:
        """Append an event in a transaction of its own. Raises what the database raises.

        That something was read is committed without waiting for the disk, which would take most of the time of a short read.
        """
        with self._engine.begin() as connection:
            if event.action in READS:
                connection.exec_driver_sql("set local synchronous_commit = off")
            append(connection, event)

    def page(self, wanted: Wanted = Wanted(), *, before: int | None = None, limit: int = 100) -> list[Stored]:
        """Return a page of events, newest first; ``before``: the number of the last event of the page before."""
        rows = self._statements.rows("audit_log/page", **vars(wanted), before=before, limit=limit)
        return [dict(row) for row in rows]

    def in_order(self, wanted: Wanted = Wanted(), *, after: int = 0) -> Iterator[Stored]:
        """Yield events, oldest first, page by page: no long transaction, and the memory of one page."""
        yield from _pages(lambda after: self._statements.rows("audit_log/in_order", **_page(wanted, after)), after)

    def verify(self, head: str = "") -> Verdict:
        """Verify the whole log; ``head`` is the hash of an event that must be in it."""
        with self._engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection:  # of one moment

            def read(after: int) -> Sequence[RowMapping]:
                return execute(connection, "audit_log/in_order", **_page(Wanted(), after)).mappings().all()

            return verify(_pages(read, 0), head)

    def verify_newest(self, limit: int) -> Verdict:
        """Verify that the newest events fit to each other, and to nothing before them."""
        return verify(reversed(self.page(limit=limit)), is_whole=False)

    def remove(self, older_than: timedelta, *, dry_run: bool = False) -> int:
        """Remove events older than that, SHORTEST_KEEP at least, or only count them; return how many."""
        seconds = max(older_than, SHORTEST_KEEP).total_seconds()
        with self._engine.begin() as connection:
            return int(execute(connection, "audit_log/remove", seconds=seconds, dry_run=dry_run).scalar_one())

    def protection(self) -> RowMapping | None:
        """Return what the role of our connections could do to events; None if there is no such table yet."""
        rows = self._statements.rows("audit_log/protection")
        return rows[0] if rows else None


def _page(wanted: Wanted, after: int) -> dict[str, Any]:
    return {**vars(wanted), "after": after, "limit": _PAGE_EVENTS}


def _pages(read: Callable[[int], Sequence[RowMapping]], after: int) -> Iterator[Stored]:
    while rows := read(after):
        yield from (dict(row) for row in rows)
        after = rows[-1]["seq"]


COLUMNS = (
    *("seq", "at", "action", "actor_kind", "actor_id", "actor_name", "target_kind", "target_id", "result", "status"),
    *("reason", "address", "user_agent", "request_id", "trace_id", "details", "previous", "hash"),
)
"""The columns of an event, in the order of files."""


def to_json(event: Stored) -> dict[str, Any]:
    """Return a stored event as JSON: flat, with all that its hash covers, so that an export can be verified."""
    return {**event, "at": shown_time(event["at"])}
