"""The API of validation results: findings, their groups, and Great Expectations' Data Docs."""

from __future__ import annotations

import mimetypes

from flask import Response, redirect
from werkzeug.wrappers import Response as AnyResponse

from pipeline.adapters.s3 import NotThere
from pipeline.contracts.object_keys import Kept, report_prefix
from pipeline.display import place_of
from pipeline.ledger.api_keys import Role
from pipeline.ledger.models import ImportRecord
from web.api.blueprint import ApiBlueprint, Example
from web.app_context import app_context
from web.http.auth import for_role
from web.http.cursors import cursor_row, page_of
from web.http.problems import Problem
from web.http.responses import CONTENT_TYPES, as_download, as_json
from web.models.common import ImportPath
from web.models.findings import FindingGroups, FindingPage, FindingsQuery, GroupsQuery, ReportPath
from web.services.imports import check_kept, find
from web.services.stored_findings import FIELDS, FindingsFile, Wanted, findings_key, stored_groups

REPORT_POLICY = (
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self';"
    " sandbox allow-same-origin allow-popups allow-popups-to-escape-sandbox allow-top-navigation-by-user-activation"
)
"""The pages are made from users' data by a third-party library: they may load our stylesheet, and run no script."""

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
def errors(path: ImportPath, query: FindingsQuery) -> Response:
    """Return a page of findings; with ``format``, all of them as a file."""
    one, wanted = find(path.import_id), Wanted(query.code, query.severity)
    if query.format is not None:
        return _findings_file(one, query.format, wanted)
    after = cursor_row(query.cursor)
    if not _has_findings(one):
        return as_json({"items": [], "next_cursor": None, "total": 0})
    check_kept(one, Kept.REPORT)
    found = app_context().ledger.findings.page(
        one.id, codes=_codes(one, wanted), severity=wanted.severity, after=after, limit=query.limit + 1
    )
    rows, next_cursor = page_of(found, query.limit, lambda finding: finding["finding_no"])
    placed = ({**finding, "place": place_of(finding, one.reading)} for finding in rows)
    items = [{name: finding[name] for name in FIELDS} for finding in placed]
    return as_json({"items": items, "next_cursor": next_cursor, "total": _total(one, wanted)})


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
    one = find(path.import_id)
    if _has_findings(one):
        check_kept(one, Kept.REPORT)
    found = stored_groups(app_context().store, one.id)
    if query.code is not None:
        found["items"] = [one for one in found["items"] if one["code"] == query.code]
    return as_json(found)


def _has_findings(one: ImportRecord) -> bool:
    return one.findings_errors + one.findings_warnings > 0


def _codes(one: ImportRecord, wanted: Wanted) -> list[str] | None:
    """Return the codes to search for; None means all."""
    if wanted.code is not None:
        return [wanted.code]
    return None if wanted.everything else [*one.findings_by_code]


def _total(one: ImportRecord, wanted: Wanted) -> int:
    """Return how many findings are wanted. The ledger has the common totals; only others are counted."""
    if wanted.everything:
        return one.findings_errors + one.findings_warnings
    if wanted.severity is None:
        return one.findings_by_code.get(wanted.code or "", 0)
    if wanted.code is None:
        return one.findings_errors if wanted.severity == "error" else one.findings_warnings
    return app_context().ledger.findings.count(one.id, wanted.code, wanted.severity)


def _findings_file(one: ImportRecord, file_format: str, wanted: Wanted) -> Response:
    """Return the stored file unchanged, or filtered while it is streamed."""
    check_kept(one, Kept.REPORT)
    name = f"findings-{one.id}.{file_format}"
    if wanted.everything and file_format != "arrow":
        return _stored_file(findings_key(one.id, file_format), name, file_format)
    if file_format == "xlsx":
        detail = "The workbook has all findings: leave out code and severity, and filter in the sheet Findings."
        raise Problem("bad_request", detail)
    file = FindingsFile(app_context().store, one.id)
    chunks = {"csv": file.as_csv, "json": file.as_json, "parquet": file.as_parquet, "arrow": file.as_arrow}[file_format](wanted)
    return as_download(chunks, name, CONTENT_TYPES[file_format])


def _stored_file(key: str, name: str, file_format: str) -> Response:
    chunks, stored = app_context().store.stream(key)
    return as_download(chunks, name, CONTENT_TYPES[file_format], stored.size_bytes)


@api.get("/report", doc_ui=False)
@for_role(Role.READER)
def report_root(path: ImportPath) -> AnyResponse:
    """Redirect to the folder with its slash, since the pages have relative links."""
    return redirect(f"/v1/imports/{find(path.import_id).id}/report/", 308)


@api.get("/report/", doc_ui=False)
@for_role(Role.READER)
def report_index(path: ImportPath) -> Response:
    """Return the first page of the report."""
    return _report_page(find(path.import_id), "index.html")


@api.get(
    "/report/<rest:page>",
    summary="Get a page of the validation report (Great Expectations' Data Docs)",
    responses={200: PAGE},
    problems=("no_report", "no_longer_kept"),
)
@for_role(Role.READER)
def report_page(path: ReportPath) -> Response:
    """HTML, and the files it needs. Scripts are blocked."""
    return _report_page(find(path.import_id), path.page)


def _report_page(one: ImportRecord, page: str) -> Response:
    check_kept(one, Kept.REPORT)
    try:
        if not {"", ".", ".."}.isdisjoint(page.split("/")):
            raise NotThere("Nothing has such a name.")
        chunks, stored = app_context().store.stream(f"{report_prefix(one.id)}docs/{page}")
    except NotThere as error:
        raise Problem("no_report", f"The report of this import has no {page}; it is {one.state}.") from error
    guessed = mimetypes.guess_type(page)[0] or "application/octet-stream"
    kind = f"{guessed}; charset=utf-8" if guessed.startswith("text/") else guessed
    response = Response(chunks, content_type=kind)
    response.content_length = stored.size_bytes
    response.headers["Content-Security-Policy"] = REPORT_POLICY
    response.headers["Cache-Control"] = "private, no-cache"
    return response
