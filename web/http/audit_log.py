"""Record requests in the audit log: who asks for what, from where, with what result.

A view names its action (``recorded_as``). A change is recorded in its own transaction (``entry``), anything else before the
first byte of the answer is sent: if the event cannot be written, the change is not made and nothing is answered but 503. A
refused or failed request is recorded, too; if that cannot be written, the log of the process has it, and the request stays
refused.
"""

from __future__ import annotations

import hashlib
import re
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from http import HTTPStatus
from typing import Any, TypeVar

import structlog
from flask import Flask, Response, current_app, g, request
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from pipeline.ledger.api_keys import ApiKey
from pipeline.ledger.audit_log import ANONYMOUS, Action, Actor, Also, Event, Result, append, clean
from web.app_context import app_context
from web.http import break_glass
from web.http.problems import Problem, answer

View = TypeVar("View", bound=Callable[..., Any])

log = structlog.get_logger(__name__)

FAILED_SIGN_INS_A_MINUTE = 60
"""How many failed sign-ins a process records in a minute, so that a flood of them does not fill the log. The next event that is
recorded has the number of those that were not."""

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")
_QUIET = frozenset({"static", "health.healthz", "health.readyz"})


@dataclass(frozen=True)
class Audited:
    """What requests to a view are recorded as. ``target``: the kind of thing; its ID is the path's argument ``argument``."""

    action: Action
    target: str
    argument: str
    when: Callable[[], bool]


def recorded_as(
    action: Action, target: str = "import", argument: str = "import_id", *, when: Callable[[], bool] = lambda: True
) -> Callable[[View], View]:
    """Mark a view whose requests are recorded, if ``when`` says so of the present one."""

    def mark(view: View) -> View:
        view.bulkhead_audited = Audited(action, target, argument, when)  # type: ignore[attr-defined]
        return view

    return mark


def asks_for_file() -> bool:
    """Return whether the present request asks for a file rather than a page of an answer."""
    return "format" in request.args


def install(app: Flask) -> None:
    """Record what is to be recorded before each answer of the app is sent. ``begin`` is called at the start of each request."""
    app.after_request(_record)


def begin() -> None:
    """Begin a request of which nothing is recorded yet."""
    g.audit_is_written, g.audit_details, g.audit_target = False, {}, None


# --- the event of the present request ---


def actor_of(key: ApiKey | None) -> Actor:
    """Return who acts: a key, or a person who signed in at the identity provider."""
    return Actor(key.kind, key.id, key.name) if key else ANONYMOUS


def event(action: Action, actor: Actor | None = None) -> Event:
    """Return an event about the present request; ``actor`` defaults to its key."""
    trace = _TRACEPARENT.fullmatch(request.headers.get("traceparent", ""))
    return Event(
        action,
        actor or actor_of(g.get("key")),
        address=request.remote_addr or "",
        user_agent=request.headers.get("User-Agent", ""),
        request_id=g.get("request_id", ""),
        trace_id=trace[1] if trace else "",
    )


def describe(**details: str) -> None:
    """Add details to the event of the present request: never values of records, never secrets."""
    g.audit_details |= details


def about(kind: str, id_: str) -> None:
    """Name what the present request is about, where its path does not."""
    g.audit_target = (kind, id_)


def entry(kind: str = "", id_: str = "", **details: str) -> Also:
    """Return what appends the event of the present request to the transaction of its change, as done.

    ``kind`` and ``id_``: what it is about, where the view's path does not name it.
    """

    def write(connection: Connection) -> None:
        if kind:
            about(kind, id_)
        describe(**details)
        append(connection, _event_of_view(_audited(), status=None))
        g.audit_is_written = True

    return write


def record(one: Event) -> None:
    """Append an event now. Raises Problem (503) if that is not possible: the action is not to go on."""
    try:
        app_context().ledger.audit_log.record(one)
    except SQLAlchemyError as error:
        _tell_log(one, error)
        raise Problem("unreachable", "The audit log cannot be written, so nothing was done. Try again soon.") from error
    mark_written()


def record_sign_in(actor: Actor, how: str, **details: str) -> None:
    """Record that a person signs in: by an API key, a sign-in link or SSO (``how``), before a session begins.

    Raises Problem (503) if that is not possible: then there is to be no session.
    """
    record(event(Action.SIGN_IN, actor).about(actor.kind, actor.id, how=how, **details))


def mark_written() -> None:
    """Note that the event of the present request is in the audit log."""
    g.audit_is_written = True


def sql_details(sql: str) -> dict[str, str]:
    """Return a query as the audit log has it: its hash, and its text if BULKHEAD_AUDIT_SQL says so."""
    hashed = {"sql_sha256": hashlib.sha256(sql.encode("utf-8", "surrogatepass")).hexdigest()}
    return hashed | ({"sql": sql} if app_context().settings.audit_sql == "text" else {})


# --- at the end of a request ---


def _audited() -> Audited:
    found: Audited | None = getattr(current_app.view_functions.get(request.endpoint or ""), "bulkhead_audited", None)
    assert found is not None, "the view is marked by recorded_as()"
    return found


def _event_of_view(audited: Audited, status: int | None, reason: str = "") -> Event:
    kind, id_ = g.audit_target or (audited.target, _known_id(audited))
    made = event(audited.action).about(kind, id_, **g.audit_details)
    if g.key is not None and g.key.is_break_glass:
        made = made.about(kind, id_, break_glass="true")
    return replace(made, result=Result.of_status(status or 200), status=status, reason=reason)


def _known_id(audited: Audited) -> str:
    """Return the ID in the path, if it is a UUID or names a dataset that exists: anything else may be any text."""
    given = str((request.view_args or {}).get(audited.argument, ""))
    if audited.target == "dataset":
        return given if given in app_context().datasets.names() else ""
    with suppress(ValueError):
        return str(uuid.UUID(given))
    return given if audited.target == "recipient" and re.fullmatch(r"[A-Za-z0-9_-]{1,64}", given) else ""


def _record(response: Response) -> Response:
    """Append the event of the request, unless its change has; return the answer, or 503 if a success cannot be recorded."""
    key: ApiKey | None = g.get("key")
    status = response.status_code
    found = getattr(current_app.view_functions.get(request.endpoint or ""), "bulkhead_audited", None)
    is_done = status < 400
    if found is not None and found.action is Action.DOWNLOAD and status == HTTPStatus.ACCEPTED:
        return response  # the file is still to be written
    if key is not None and key.is_break_glass:
        break_glass.tell(key, app_context(), request.remote_addr or "")
    one: Event | None = None
    if found is not None and key is not None and not (g.get("audit_is_written", True) and is_done) and found.when():
        one = _event_of_view(found, status, _reason(response))
    elif key is not None and key.is_break_glass and not g.get("audit_is_written", True) and request.endpoint not in _QUIET:
        one = replace(event(Action.BREAK_GLASS), status=status, result=Result.of_status(status), reason=_reason(response))
        one = one.about("route", f"{request.method} {request.url_rule or '-'}")
    if one is None:
        return response
    try:
        app_context().ledger.audit_log.record(one)
    except Exception as error:  # of any kind: an action must not go unrecorded
        _tell_log(one, error)
        if not is_done:
            return response
        response.close()  # what it holds, such as a slot for exports, is free again
        return answer(Problem("unreachable", "The audit log cannot be written, so this is not answered. Try again soon."))
    return response


def _reason(response: Response) -> str:
    """Return the code of a problem, without its text, which may quote what was sent."""
    if response.status_code < 400:
        return ""
    if response.mimetype == "application/problem+json" and isinstance(document := response.get_json(silent=True), dict):
        return str(document.get("code", ""))
    return str(g.get("problem_code", ""))


def _tell_log(one: Event, error: Exception) -> None:
    """Write an event to the log of the process that the audit log does not take."""
    told = {name: str(value) for name, value in asdict(one).items() if value and name not in ("details", "actor", "reason")}
    log.error("audit event not written", **told, actor_id=one.actor.id, error=clean(type(error).__name__))


# --- failed sign-ins ---


class _FailedSignIns:
    """Counts the failed sign-ins of a minute in this process, and how many of them were not recorded."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._until = self._count = self._omitted = 0.0

    def take(self) -> int | None:
        """Return how many were not recorded since the last one that was; None if this one is not recorded either."""
        with self._lock:
            now = time.monotonic()
            if now >= self._until:
                self._until, self._count = now + 60, 0
            self._count += 1
            if self._count > FAILED_SIGN_INS_A_MINUTE:
                self._omitted += 1
                return None
            omitted, self._omitted = self._omitted, 0
            return int(omitted)


def record_failed_sign_in(how: str, reason: str, meant: ApiKey | None = None) -> None:
    """Record a failed sign-in: by an API key, a sign-in link, a form or SSO (``how``). What was sent is not recorded.

    ``meant``: the key whose secret was right, but that is refused. The sign-in stays refused if this cannot be written.
    """
    counter = current_app.extensions.setdefault("failed_sign_ins", _FailedSignIns())
    omitted = counter.take()
    if omitted is None:
        return
    one = event(Action.SIGN_IN_FAILED, actor_of(meant))
    details = {"how": how} | ({"not_recorded_before": str(omitted)} if omitted else {})
    one = replace(one.about("key" if meant else "", meant.id if meant else "", **details), result=Result.REFUSED, status=401)
    try:
        app_context().ledger.audit_log.record(replace(one, reason=reason))
    except SQLAlchemyError as error:
        _tell_log(one, error)
