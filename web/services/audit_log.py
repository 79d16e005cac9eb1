"""Read the audit log: pages of events, and files of all that fit the filters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from flask import Response

from pipeline.ledger.audit_files import as_csv, as_ndjson
from pipeline.ledger.audit_log import Stored, Wanted, to_json
from web.app_context import app_context
from web.http import audit_log
from web.http.cursors import cursor_row, page_of
from web.http.responses import CONTENT_TYPES, as_download


def page_of_events(wanted: Wanted, *, cursor: str | None, limit: int) -> tuple[Sequence[Stored], str | None]:
    """Return a page of events, newest first, and the cursor of the next one. Raises Problem for an invalid cursor."""
    before = cursor_row(cursor) if cursor is not None else None
    found = app_context().ledger.audit_log.page(wanted, before=before, limit=limit + 1)
    return page_of(found, limit, lambda event: event["seq"])


def as_file(wanted: Wanted, form: Literal["csv", "ndjson"]) -> Response:
    """Return all events that fit as a download, oldest first. The export itself is recorded before it begins."""
    filters = {name: str(value) for name, value in vars(wanted).items() if value is not None and name != "actor"}
    audit_log.describe(format=form, **filters)
    events = map(to_json, app_context().ledger.audit_log.in_order(wanted))
    chunks = as_csv(events) if form == "csv" else as_ndjson(events)
    return as_download(chunks, f"audit-log.{form}", CONTENT_TYPES[form])
