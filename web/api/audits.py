"""The API of audits: every rule and check of a dataset over what is loaded."""

from __future__ import annotations

from typing import Any

from flask import Response, redirect, request
from werkzeug.wrappers import Response as AnyResponse

from pipeline.ledger.api_keys import Role
from pipeline.ledger.audit_log import Action
from web.api.blueprint import ApiBlueprint, Example
from web.api.findings import PAGE, is_first_page
from web.http import audit_log
from web.http.audit_log import recorded_as
from web.http.auth import for_role
from web.http.cursors import page_of
from web.http.responses import as_json
from web.models.audits import AuditModel, AuditPage, AuditPath, AuditReportPath
from web.models.common import DatasetPath, PageQuery
from web.models.findings import FindingGroups, FindingPage, FindingsQuery, GroupsQuery
from web.services import key_scope
from web.services.audits import cancel_audit, find_audit, shown_audit, start_audit
from web.services.reports import docs_answer, findings_answer, groups_answer, of_audit

REQUEST_HEADERS: tuple[dict[str, Any], ...] = (
    {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "Idempotency key: a request repeated with the same key returns the audit that the first one started",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255},
        "example": '"6d1cf2a0-3f50-4e0c-9f1b-d7f2f5a1c9be"',
    },
)

api = ApiBlueprint("audits", "/v1/datasets/<name:dataset>/audits", "audits")


@api.post(
    "",
    summary="Start an audit",
    responses={202: AuditModel},
    problems=("no_table", "audit_at_work", "idempotency_mismatch"),
    headers=("Location", "Idempotent-Replayed"),
    takes_headers=REQUEST_HEADERS,
)
@for_role(Role.UPLOADER)
@recorded_as(Action.AUDIT_STARTED, "dataset", "dataset")
def start(path: DatasetPath) -> Response:
    """Check all loaded records by every rule of the dataset. One audit of a dataset runs at a time; no import waits for it."""
    one, is_replayed = start_audit(path.dataset, request)
    answer = shown_audit(one)
    response = as_json(answer, 202)
    response.headers["Location"] = answer["links"]["self"]
    if is_replayed:
        response.headers["Idempotent-Replayed"] = "true"
    return response


@api.get("", summary="List audits, newest first", responses={200: AuditPage}, problems=("unknown_audit",))
@for_role(Role.READER)
def list_audits(path: DatasetPath, query: PageQuery) -> Response:
    """Return a page of audits. The cursor is opaque: send next_cursor unchanged."""
    before = find_audit(path.dataset, query.cursor).id if query.cursor is not None else None
    found = key_scope.audits(path.dataset, before=before, limit=query.limit + 1)
    items, next_cursor = page_of(found, query.limit, lambda one: one.id)
    return as_json({"items": [shown_audit(one) for one in items], "next_cursor": next_cursor})


@api.get(
    "/<name:audit_id>",
    summary="Get an audit",
    responses={200: AuditModel},
    headers=("Retry-After",),
)
@for_role(Role.READER)
def get_audit(path: AuditPath) -> Response:
    """Its state, and when it has succeeded the counts of each code and rule. Until it ends, Retry-After says when to ask."""
    one = find_audit(path.dataset, path.audit_id)
    response = as_json(shown_audit(one))
    if not one.state.is_final:
        response.headers["Retry-After"] = "1"
    return response


@api.post("/<name:audit_id>/cancel", summary="Cancel an audit", responses={202: AuditModel}, problems=("audit_ended",))
@for_role(Role.UPLOADER)
@recorded_as(Action.CANCEL, "audit", "audit_id")
def cancel(path: AuditPath) -> Response:
    """A waiting audit is canceled at once, a running one within seconds. Its findings are not stored."""
    return as_json(shown_audit(cancel_audit(find_audit(path.dataset, path.audit_id))), 202)


@api.get(
    "/<name:audit_id>/errors",
    summary="List the findings of an audit",
    responses={200: FindingPage},
    problems=("no_report", "no_longer_kept"),
    files=("csv", "json", "parquet", "arrow", "xlsx"),
    example=Example(query={"code": "missing_parent", "severity": "error", "limit": 100}),
)
@for_role(Role.READER)
@recorded_as(Action.DOWNLOAD, "audit", "audit_id", when=audit_log.asks_for_file)
def errors(path: AuditPath, query: FindingsQuery) -> Response:
    """Return a page of findings; with ``format``, all of them as a file."""
    return findings_answer(of_audit(find_audit(path.dataset, path.audit_id)), query)


@api.get(
    "/<name:audit_id>/errors/groups",
    summary="List the findings of an audit in groups",
    responses={200: FindingGroups},
    problems=("no_longer_kept",),
    example=Example(query={"code": "missing_parent"}),
)
@for_role(Role.READER)
def groups(path: AuditPath, query: GroupsQuery) -> Response:
    """Findings with the same message, counted, each group with its first records; the most frequent group first."""
    return groups_answer(of_audit(find_audit(path.dataset, path.audit_id)), query.code)


@api.get("/<name:audit_id>/report", doc_ui=False)
@for_role(Role.READER)
def report_root(path: AuditPath) -> AnyResponse:
    """Redirect to the folder with its slash, since the pages have relative links."""
    one = find_audit(path.dataset, path.audit_id)
    return redirect(f"/v1/datasets/{one.dataset}/audits/{one.id}/report/", 308)


@api.get("/<name:audit_id>/report/", doc_ui=False)
@for_role(Role.READER)
@recorded_as(Action.DOWNLOAD, "audit", "audit_id")
def report_index(path: AuditPath) -> Response:
    """Return the first page of the report."""
    return docs_answer(of_audit(find_audit(path.dataset, path.audit_id)), "index.html")


@api.get(
    "/<name:audit_id>/report/<rest:page>",
    summary="Get a page of an audit's report (Great Expectations' Data Docs)",
    responses={200: PAGE},
    problems=("no_report", "no_longer_kept"),
)
@for_role(Role.READER)
@recorded_as(Action.DOWNLOAD, "audit", "audit_id", when=is_first_page)
def report_page(path: AuditReportPath) -> Response:
    """HTML, and the files it needs. Scripts are blocked."""
    return docs_answer(of_audit(find_audit(path.dataset, path.audit_id)), path.page)
