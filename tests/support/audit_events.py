"""Events of the audit log that the database itself would not take: of another time, or put in by hand."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import psycopg

from pipeline.ledger.audit_chain import HASHED, digest

PLAIN: dict[str, Any] = {
    **dict.fromkeys((name for name in HASHED if name not in ("seq", "at", "previous", "status", "details")), ""),
    "action": "sql",
    "actor_kind": "key",
    "result": "ok",
    "status": 200,
    "details": {},
}


def chained(times: Sequence[datetime]) -> Iterator[dict[str, Any]]:
    """Yield sound events of these times, from the first event of all on."""
    previous = ""
    for seq, at in enumerate(times, 1):
        event = {**PLAIN, "seq": seq, "at": at, "previous": previous, "request_id": f"r{seq}"}
        previous = digest(event)
        yield {**event, "hash": previous}


@contextmanager
def without_triggers(url: str) -> Iterator[psycopg.Connection[Any]]:
    """Connect as a superuser, with triggers switched off."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("set session_replication_role = replica")
        yield connection


def insert(url: str, events: Iterator[dict[str, Any]]) -> None:
    """Put events in as they are."""
    names = (*HASHED, "hash")
    statement = f"insert into ledger.audit_event ({', '.join(names)}) values ({', '.join(['%s'] * len(names))})"
    with without_triggers(url) as connection:
        for event in events:
            values = [json.dumps(event[name]) if name == "details" else event[name] for name in names]
            connection.execute(statement, values)  # type: ignore[arg-type]
