"""The API of validation results: findings, their groups, and Great Expectations' Data Docs."""

from __future__ import annotations

from flask import Response, redirect, request
from werkzeug.wrappers import Response as AnyResponse

from pipeline.ledger.api_keys import Role
from pipeline.ledger.audit_log import Action
from web.api.blueprint import ApiBlueprint, Example
from web.http import audit_log
from web.http.audit_log import recorded_as
from web.http.auth import for_role
from web.models.common import ImportPath
from web.models.findings import FindingGroups, FindingPage, FindingsQuery, GroupsQuery, ReportPath
from web.services.imports import find
from web.services.reports import docs_answer, findings_answer, groups_answer, of_import, verdicts_answer


def is_first_page() -> bool:
    """Return whether the request is for the report itself: its other pages and files come with it."""
    return (request.view_args or {}).get("page") == "index.html"


VERDICTS = {
    "description": "An ExpectationSuiteValidationResult as Great Expectations writes it; values are cut after 200 characters",
    "content": {"application/json": {"schema": {"type": "object"}, "example": {"success": False, "results": []}}},
}
PAGE = {
    "description": "The page, or a file that it needs",
    "content": {kind: {"schema": {}, "example": "<!doctype html>..."} for kind in ("text/html; charset=utf-8", "*/*")},
}

api = ApiBlueprint("reports", "/v1/imports/<name:import_id>", "reports")


@api.get(
    "/errors",
    summary="List findings",
    responses={200: FindingPage},
    problems=("no_report", "no_longer_kept"),
    files=("csv", "json", "parquet", "arrow", "xlsx"),
    example=Example(query={"code": "missing_parent", "severity": "error", "limit": 100}),
)
@for_role(Role.READER)
@recorded_as(Action.DOWNLOAD, when=audit_log.asks_for_file)
def errors(path: ImportPath, query: FindingsQuery) -> Response:
    """Return a page of findings; with ``format``, all of them as a file."""
    return findings_answer(of_import(find(path.import_id)), query)


@api.get(
    "/errors/groups",
    summary="List findings in groups",
    responses={200: FindingGroups},
    problems=("no_longer_kept",),
    example=Example(query={"code": "missing_parent"}),
)
@for_role(Role.READER)
def groups(path: ImportPath, query: GroupsQuery) -> Response:
    """Findings with the same message, counted, each group with its first rows; the most frequent group first."""
    return groups_answer(of_import(find(path.import_id)), query.code)


@api.get(
    "/validation",
    summary="Download Great Expectations' own result",
    responses={200: VERDICTS},
    problems=("no_report", "no_longer_kept"),
)
@for_role(Role.READER)
@recorded_as(Action.DOWNLOAD)
def validation(path: ImportPath) -> Response:
    """The file ``validation.json`` of the report: every expectation, whether it was met, and examples of what offends."""
    return verdicts_answer(of_import(find(path.import_id)))


@api.get("/report", doc_ui=False)
@for_role(Role.READER)
def report_root(path: ImportPath) -> AnyResponse:
    """Redirect to the folder with its slash, since the pages have relative links."""
    return redirect(f"/v1/imports/{find(path.import_id).id}/report/", 308)


@api.get("/report/", doc_ui=False)
@for_role(Role.READER)
@recorded_as(Action.DOWNLOAD)
def report_index(path: ImportPath) -> Response:
    """Return the first page of the report."""
    return docs_answer(of_import(find(path.import_id)), "index.html")


@api.get(
    "/report/<rest:page>",
    summary="Get a page of the validation report (Great Expectations' Data Docs)",
    responses={200: PAGE},
    problems=("no_report", "no_longer_kept"),
)
@for_role(Role.READER)
@recorded_as(Action.DOWNLOAD, when=is_first_page)
def report_page(path: ReportPath) -> Response:
    """HTML, and the files it needs. Scripts are blocked."""
    return docs_answer(of_import(find(path.import_id)), path.page)
