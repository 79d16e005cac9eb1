"""The API of the audit log, for admins."""

from __future__ import annotations

from flask import Response

from pipeline.ledger.api_keys import Role
from pipeline.ledger.audit_log import Action, Wanted, to_json
from web.api.blueprint import ApiBlueprint, Example
from web.http.audit_log import asks_for_file, recorded_as
from web.http.auth import for_role
from web.http.responses import as_json
from web.models.audit_log import AuditLogPage, AuditLogQuery
from web.services import audit_log

api = ApiBlueprint("audit_log", "/v1/audit-log", "audit log")


@api.get(
    "",
    summary="List events of the audit log, newest first",
    responses={200: AuditLogPage},
    files=("csv", "ndjson"),
    example=Example(query={"action": "key_created", "result": "ok", "limit": 50}),
)
@for_role(Role.ADMIN)
@recorded_as(Action.AUDIT_LOG_EXPORT, "audit_log", when=asks_for_file)
def list_events(query: AuditLogQuery) -> Response:
    """A page of events; with ``format``, all that fit as a file, oldest first.

    A file in NDJSON without filters can be verified anywhere: ``bulkhead audit-log verify --file``.
    """
    wanted = Wanted(query.actor, query.action, query.target, query.result, query.since, query.until)
    if query.format is not None:
        return audit_log.as_file(wanted, query.format)
    found, next_cursor = audit_log.page_of_events(wanted, cursor=query.cursor, limit=query.limit)
    return as_json({"items": [to_json(event) for event in found], "next_cursor": next_cursor})
