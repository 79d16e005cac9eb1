"""Answer requests for the report of an import or an audit: findings by page, by group and as files, and its Data Docs."""

from __future__ import annotations

import mimetypes
from dataclasses import dataclass
from datetime import UTC
from typing import Any

from flask import Response

from pipeline.adapters.s3 import NotThere
from pipeline.contracts.object_keys import Kept, report_prefix
from pipeline.display import place_of
from pipeline.ledger.audit_record import AuditRecord
from pipeline.ledger.findings import Findings
from pipeline.ledger.models import ImportRecord, rfc3339
from web.app_context import app_context
from web.http import audit_log
from web.http.cursors import cursor_row, page_of
from web.http.problems import Problem
from web.http.responses import CONTENT_TYPES, as_download, as_json
from web.models.findings import FindingsQuery
from web.services.imports import removal
from web.services.personal_data import clear_prefix, with_clear_values, withheld
from web.services.stored_findings import FIELDS, FindingsFile, Wanted, findings_key, stored_groups

KEEP_AUDITS = "BULKHEAD_KEEP_AUDITS"

REPORT_POLICY = (
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self';"
    " sandbox allow-same-origin allow-popups allow-popups-to-escape-sandbox allow-top-navigation-by-user-activation"
)
"""The pages are made from users' data by a third-party library: they may load our stylesheet, and run no script."""


@dataclass(frozen=True)
class Report:
    """Where the report of an import or an audit is: its findings in the ledger, its files in S3 under ``prefix``.

    ``removed``: a sentence saying when the retention policy deleted it, by ``setting``, or why this key may not see it; None if
    it is kept, or never existed. What this key may not see of personal data is masked (personal_data.py).
    """

    one: ImportRecord | AuditRecord
    rows: Findings
    prefix: str
    removed: str | None
    setting: str
    noun: str

    def page(self, **wanted: Any) -> list[dict[str, Any]]:
        """Return a page of findings as this key may see them. Takes what Findings.page takes."""
        return with_clear_values(self.one, self.prefix, self.rows.page(self.one.id, **wanted))

    @property
    def has_findings(self) -> bool:
        """Return whether there is any finding."""
        return self.one.findings_errors + self.one.findings_warnings > 0

    def check_kept(self) -> None:
        """Raise Problem if the retention policy deleted the report."""
        if self.removed and self.one.report_removed_at is None:
            raise Problem("forbidden", self.removed)
        if self.removed:
            removed_at = rfc3339(self.one.report_removed_at)
            raise Problem("no_longer_kept", self.removed, setting=self.setting, removed_at=removed_at)

    def has_page(self) -> bool:
        """Return whether the Data Docs are stored."""
        return self.removed is None and app_context().store.head(f"{self.prefix}docs/index.html") is not None


def of_import(one: ImportRecord) -> Report:
    """Return the report of an import."""
    rows = app_context().ledger.findings
    removed = removal(one, Kept.REPORT) or withheld(one) or None
    prefix = clear_prefix(one, report_prefix(one.id))
    return Report(one, rows, prefix, removed, Kept.REPORT.setting, "import")


def of_audit(one: AuditRecord) -> Report:
    """Return the report of an audit."""
    removed = None
    if one.report_removed_at is not None:
        when = f"{one.report_removed_at.astimezone(UTC):%-d %b %Y, %H:%M} UTC"
        removed = f"The findings of this audit and their report were deleted on {when} by the retention policy ({KEEP_AUDITS})."
    removed = removed or withheld(one) or None
    return Report(one, app_context().ledger.audit_findings, clear_prefix(one, one.prefix), removed, KEEP_AUDITS, "audit")


def findings_answer(report: Report, query: FindingsQuery) -> Response:
    """Return a page of findings; with ``format``, all of them as a file. Raises Problem."""
    one, wanted = report.one, Wanted(query.code, query.severity)
    if query.format is not None:
        return _findings_file(report, query.format, wanted)
    after = cursor_row(query.cursor)
    if not report.has_findings:
        return as_json({"items": [], "next_cursor": None, "total": 0})
    report.check_kept()
    codes = _codes(one, wanted)
    found = report.page(codes=codes, severity=wanted.severity, after=after, limit=query.limit + 1)
    rows, next_cursor = page_of(found, query.limit, lambda finding: finding["finding_no"])
    placed = ({**finding, "place": place_of(finding, one.reading)} for finding in rows)
    items = [{name: finding[name] for name in FIELDS} for finding in placed]
    return as_json({"items": items, "next_cursor": next_cursor, "total": _total(report, wanted)})


def groups_answer(report: Report, code: str | None) -> Response:
    """Return the groups of findings, or those of a code. Raises Problem."""
    if report.has_findings:
        report.check_kept()
    found = stored_groups(app_context().store, report.prefix)
    if code is not None:
        found["items"] = [group for group in found["items"] if group["code"] == code]
    return as_json(found)


def docs_answer(report: Report, page: str) -> Response:
    """Return a file of the Data Docs. Raises Problem."""
    audit_log.describe(what="report")
    report.check_kept()
    try:
        if not {"", ".", ".."}.isdisjoint(page.split("/")):
            raise NotThere("Nothing has such a name.")
        chunks, stored = app_context().store.stream(f"{report.prefix}docs/{page}")
    except NotThere as error:
        raise Problem("no_report", f"The report of this {report.noun} has no {page}; it is {report.one.state}.") from error
    guessed = mimetypes.guess_type(page)[0] or "application/octet-stream"
    kind = f"{guessed}; charset=utf-8" if guessed.startswith("text/") else guessed
    response = Response(chunks, content_type=kind)
    response.content_length = stored.size_bytes
    response.headers["Content-Security-Policy"] = REPORT_POLICY
    response.headers["Cache-Control"] = "private, no-cache"
    return response


def verdicts_answer(report: Report) -> Response:
    """Return the verdicts of the Data Docs as Great Expectations writes them, as a download. Raises Problem."""
    audit_log.describe(what="validation", format="json")
    report.check_kept()
    try:
        return _stored_file(f"{report.prefix}docs/validation.json", f"validation-{report.one.id}.json", "json")
    except NotThere as error:
        raise Problem("no_report", f"This {report.noun} has no validation result; it is {report.one.state}.") from error


def _codes(one: ImportRecord | AuditRecord, wanted: Wanted) -> list[str] | None:
    """Return the codes to search for; None means all."""
    if wanted.code is not None:
        return [wanted.code]
    return None if wanted.everything else [*one.findings_by_code]


def _total(report: Report, wanted: Wanted) -> int:
    """Return how many findings are wanted. The ledger has the common totals; only others are counted."""
    one = report.one
    if wanted.everything:
        return one.findings_errors + one.findings_warnings
    if wanted.severity is None:
        return one.findings_by_code.get(wanted.code or "", 0)
    if wanted.code is None:
        return one.findings_errors if wanted.severity == "error" else one.findings_warnings
    return report.rows.count(one.id, wanted.code, wanted.severity)


def _findings_file(report: Report, file_format: str, wanted: Wanted) -> Response:
    """Return the stored file unchanged, or filtered while it is streamed."""
    audit_log.describe(what="findings", format=file_format)
    report.check_kept()
    name = f"findings-{report.one.id}.{file_format}"
    if wanted.everything and file_format != "arrow":
        return _stored_file(findings_key(report.prefix, file_format), name, file_format)
    if file_format == "xlsx":
        detail = "The workbook has all findings: leave out code and severity, and filter in the sheet Findings."
        raise Problem("bad_request", detail)
    file = FindingsFile(app_context().store, report.prefix)
    chunks = {"csv": file.as_csv, "json": file.as_json, "parquet": file.as_parquet, "arrow": file.as_arrow}[file_format](wanted)
    return as_download(chunks, name, CONTENT_TYPES[file_format])


def _stored_file(key: str, name: str, file_format: str) -> Response:
    chunks, stored = app_context().store.stream(key)
    return as_download(chunks, name, CONTENT_TYPES[file_format], stored.size_bytes)
