"""Stream the changes of an import as server-sent events (SSE), for pages and programs that watch it.

A stream occupies a thread, so their number is limited, each ends after a minute (EventSource reconnects by itself and continues
from Last-Event-ID), and a disconnected reader is noticed within a second.
"""

from __future__ import annotations

import hashlib
import re
import socket
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
import structlog
from flask import Response, current_app, request
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from pipeline.contracts.states import State
from pipeline.ledger.api_keys import Role
from pipeline.ledger.models import ImportRecord
from web.api.blueprint import ApiBlueprint
from web.app_context import app_context
from web.http.auth import for_role, still_works
from web.http.problems import Problem
from web.models.common import ImportPath
from web.services.imports import find
from web.services.pace import load_begun, progress_texts, records_left

log = structlog.get_logger(__name__)

STREAM_SECONDS = 60.0
EVERY_SECONDS = 1.0
BEAT_SECONDS = 15.0
RATE_SECONDS = 10.0
"""The rate is measured over this many seconds."""

PHASES = {
    State.AWAITING_UPLOAD: "upload",
    State.QUEUED: "queue",
    State.VALIDATING: "validate",
    State.PREPARING: "prepare",
    State.LOADING: "load",
    State.PAUSED: "load",
}
"""The phase of each state; in any other state it is ``done``."""

_ID = re.compile(r"([0-9]{1,14})-([0-9]{1,18})-([0-9a-f]{16})")

api = ApiBlueprint("events", "/v1", "imports")

_STREAMED = 'retry: 1000\n\nid: 1-3-0123456789abcdef\ndata: {"state": "loading"}\n\n'
STREAM: dict[Any, Any] = {
    200: {
        "description": "The data of each event is the import as JSON, with a member progress: phase, records, parts,"
        " records_per_second and seconds_left (null if unknown), and text: the same as sentences for people",
        "content": {"text/event-stream": {"schema": {}, "example": _STREAMED}},
    },
    204: {"description": "The import has ended, and Last-Event-ID is of its last event: EventSource does not reconnect"},
}


@api.get(
    "/imports/<name:import_id>/events",
    summary="Watch an import",
    responses=STREAM,
    problems=("busy",),
)
@for_role(Role.READER)
def watch_import(path: ImportPath) -> Response:
    """Stream server-sent events, one for each change. The stream ends with the import, or after a minute: then reconnect
    with Last-Event-ID, which skips what was already sent."""
    one, known = find(path.import_id), LastEvent.of(request.headers.get("Last-Event-ID", ""))
    if one.state.is_final and known.digest == digest_of(one):
        return Response(status=204)
    places, ledger, pace = app_context().streams, app_context().ledger, _pace(one, known)
    if not places.acquire(blocking=False):
        said = "Too many event streams at the same time. Get the import itself instead."
        raise Problem("busy", said, headers={"Retry-After": "5"})
    at_work = current_app.extensions.get("at_work", lambda: True)
    wanted = _is_wanted(request.environ.get("gunicorn.socket"), at_work)
    works = still_works()

    def look() -> ImportRecord | None:
        """Return the import as it is now; None if the key was revoked, or the session ended, meanwhile."""
        return ledger.imports.get(one.id) if works() else None

    stream = _events(one, look, known, pace, request.host_url, wanted)
    response = Response(stream, content_type="text/event-stream", headers={"X-Accel-Buffering": "no"})
    response.call_on_close(places.release)
    return response


def _is_wanted(reader: socket.socket | None, at_work: Callable[[], bool]) -> Callable[[], bool]:
    """Return a function that says whether the client is connected and this process has not been asked to stop."""

    def look() -> bool:
        if reader is None or not at_work():
            return at_work()
        try:
            return reader.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) != b""
        except BlockingIOError:
            return True
        except OSError:
            return False

    return look


def _events(
    one: ImportRecord,
    look: Callable[[], ImportRecord | None],
    known: LastEvent,
    pace: Pace,
    base_url: str,
    wanted: Callable[[], bool],
) -> Iterator[bytes]:
    """Yield the events. The ledger is read once per second."""
    began = spoke = time.monotonic()
    told: Mapping[str, Any] | None = None
    yield b"retry: 1000\n\n"
    while True:
        pace.note(time.time(), one.processed)
        shown = {**one.to_json(base_url), "progress": progress(one, pace)}
        if shown != told and not (told is None and digest_of(one) == known.digest):
            yield _event(f"{int(time.time() * 1000)}-{one.processed}-{digest_of(one)}", shown)
            spoke = time.monotonic()
        elif time.monotonic() - spoke >= BEAT_SECONDS:
            yield b": still here\n\n"
            spoke = time.monotonic()
        told = shown
        if one.state.is_final or time.monotonic() - began >= STREAM_SECONDS:
            return
        time.sleep(EVERY_SECONDS)
        if not wanted():
            return
        try:
            found = look()
        except (DBAPIError, PoolTimeoutError) as error:
            log.warning("event stream ended by an error", import_id=one.id, error=type(error).__name__)
            return
        if found is None:
            return
        one = found


def _pace(one: ImportRecord, known: LastEvent) -> Pace:
    """Return the pace since what the reader saw last, if that is recent, or else since the load began."""
    if 0 <= time.time() - known.at <= RATE_SECONDS:
        return Pace(deque([(known.at, known.records)]))
    begun = load_begun(app_context().ledger.imports.moves(one.id)) if one.state is State.LOADING else None
    return Pace(deque([(begun.timestamp(), one.quarantined)] if begun else []))


def _event(event_id: str, shown: Mapping[str, Any]) -> bytes:
    """Return one event. JSON without line breaks is one line of data."""
    return b"id: " + event_id.encode() + b"\ndata: " + orjson.dumps(shown) + b"\n\n"


def digest_of(one: ImportRecord) -> str:
    """Return a digest of an import's JSON, which changes whenever anything in it does."""
    return hashlib.sha256(orjson.dumps(one.to_json(""))).hexdigest()[:16]


@dataclass(frozen=True)
class LastEvent:
    """The event that a reader received last, from its Last-Event-ID: the time, the records done, and the digest."""

    at: float = 0.0  # seconds since 1970
    records: int = 0
    digest: str = ""

    @classmethod
    def of(cls, text: str) -> LastEvent:
        """Parse an id of an event; an invalid one counts as none."""
        match = _ID.fullmatch(text)
        return cls(int(match[1]) / 1000, int(match[2]), match[3]) if match else cls()


@dataclass
class Pace:
    """The rate of a load: (seconds since 1970, records done), over the last few seconds."""

    seen: deque[tuple[float, int]] = field(default_factory=deque)

    def note(self, at: float, records: int) -> None:
        """Add a measurement; of those older than the window, only the last is kept."""
        if self.seen and (records < self.seen[-1][1] or at < self.seen[-1][0]):
            self.seen.clear()  # the load was restarted
        self.seen.append((at, records))
        while len(self.seen) > 2 and self.seen[1][0] <= at - RATE_SECONDS:
            self.seen.popleft()

    @property
    def rate(self) -> float | None:
        """Return records per second; None until there are enough measurements."""
        if len(self.seen) < 2:
            return None
        (began, before), (ended, after) = self.seen[0], self.seen[-1]
        return (after - before) / (ended - began) if ended - began >= 0.5 else None


def progress(one: ImportRecord, pace: Pace) -> dict[str, Any]:
    """Return the progress: records and parts done, the rate and the seconds left, if known; ``text``: the same as text."""
    rate = pace.rate if one.state is State.LOADING else None
    return {
        "phase": PHASES.get(one.state, "done"),
        "records": {"total": one.records_total, "done": one.processed},
        "parts": {"total": one.parts_total, "done": one.parts_done},
        "records_per_second": None if rate is None else round(rate, 1),
        "seconds_left": round(records_left(one) / rate, 1) if rate else None,
        "text": progress_texts(one, rate),
    }
