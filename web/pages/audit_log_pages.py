"""The page of the audit log, for admins: filters by who, what, result and day, and downloads."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, render_template, request
from flask.typing import ResponseReturnValue

from pipeline.display import meant
from pipeline.ledger.api_keys import Role
from pipeline.ledger.audit_log import Action, Result, Wanted
from web.http.auth import for_role
from web.http.problems import Problem
from web.services import audit_log

EVENTS_SHOWN = 50

pages = Blueprint("audit_log_pages", __name__)


@pages.get("/admin/audit-log")
@for_role(Role.ADMIN)
def audit_log_page() -> ResponseReturnValue:
    """Show the events that fit the filters, newest first; days are those of UTC."""
    names = ("actor", "action", "target", "result", "since", "until")
    asked = {name: request.args.get(name, "").strip()[:200] or None for name in names}
    for name, known in (("action", Action), ("result", Result)):
        if (given := asked[name]) is not None and given not in [*known]:
            raise Problem("bad_request", f"Unknown {name} {given!r}.{meant(given, known)} There are: {', '.join(known)}.")
    days = {"since": _midnight(asked["since"]), "until": _midnight(asked["until"], days=1)}
    wanted = Wanted(asked["actor"], asked["action"], asked["target"], asked["result"], days["since"], days["until"])
    found, following = audit_log.page_of_events(wanted, cursor=request.args.get("before"), limit=EVENTS_SHOWN)
    return render_template(
        "admin_audit_log.html",
        events=found,
        following=following,
        is_first="before" not in request.args,
        asked=asked,
        actions=list(Action),
        results=list(Result),
        files={form: _address(asked, days, form) for form in ("csv", "ndjson")},
    )


def _midnight(text: str | None, *, days: int = 0) -> datetime | None:
    """Return midnight of the day in a form field, ``days`` later; None for an empty field. Raises Problem."""
    try:
        day = datetime.fromisoformat(text).date() if text else None
        return datetime.combine(day + timedelta(days=days), time.min, UTC) if day else None
    except (ValueError, OverflowError) as error:
        raise Problem("bad_request", f"{text!r} is not a date. Write dates as 2026-01-31.") from error


def _address(asked: dict[str, str | None], days: dict[str, datetime | None], form: str) -> str:
    """Return where the events that fit the filters are downloaded from."""
    times: dict[str, Any] = {name: at.isoformat() for name, at in days.items() if at}
    given = {name: value for name, value in asked.items() if value is not None} | times
    return f"/v1/audit-log?{urlencode({**given, 'format': form})}"
