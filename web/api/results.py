"""The API of row outcomes: counts, failed records in pages, and files of succeeded, failed and unprocessed rows."""

from __future__ import annotations

from typing import Any

import orjson
from flask import Response, request

from pipeline.adapters.s3 import NotThere
from pipeline.contracts.messages import ResultsWanted
from pipeline.contracts.object_keys import (
    RESULTS_FORMS,
    Kept,
    RowOutcome,
    native_format,
    report_prefix,
    results_file,
    results_key,
    results_prefix,
)
from pipeline.contracts.states import State
from pipeline.display import place_of_record
from pipeline.errors import NotFound
from pipeline.ledger.api_keys import Role
from pipeline.ledger.audit_log import Action
from pipeline.ledger.models import ImportRecord
from web.api.blueprint import ApiBlueprint, Example
from web.app_context import app_context
from web.http import audit_log
from web.http.audit_log import recorded_as
from web.http.auth import for_role
from web.http.cursors import cursor_row, page_of
from web.http.problems import Problem
from web.http.responses import CONTENT_TYPES, as_download, as_json
from web.http.table_streams import as_arrow, open_parquet
from web.models.common import ImportPath
from web.models.findings import BeingWritten, FailurePage, FailuresQuery, ResultsModel, RowsQuery
from web.services.imports import check_kept, find
from web.services.personal_data import check_shown, clear_key, clear_prefix, may_unmask, withheld
from web.services.stored_findings import FINDINGS_FORMS, findings_key

_FILES = ("csv", "json", "parquet", "arrow", "xlsx", "tsv", "ndjson")
_FILE_PROBLEMS = ("not_finished", "no_results", "no_longer_kept")

api = ApiBlueprint("results", "/v1/imports/<name:import_id>/results", "reports")


@api.get("", summary="Get the results of an import", responses={200: ResultsModel})
@for_role(Role.READER)
def results(path: ImportPath) -> Response:
    """Counts, stored files, and under ``rows`` the files that can be requested."""
    one = find(path.import_id)
    base = f"{request.host_url}v1/imports/{one.id}"
    reported = clear_prefix(one, report_prefix(one.id))
    files = [(f"findings.{form}", findings_key(reported, form), f"{base}/errors?format={form}") for form in FINDINGS_FORMS]
    files = files if may_unmask() or not withheld(one) else []
    stored = [(name, app_context().store.head(key), href) for name, key, href in files]
    written = {found.key: found for found in app_context().store.list(results_prefix(one.id))}
    for outcome in RowOutcome:
        for form in RESULTS_FORMS:
            found = written.get(clear_key(results_key(one.id, outcome, form, one.reading), results_prefix(one.id)))
            stored.append((results_file(outcome, form, one.reading), found, f"{base}/results/{outcome}?format={form}"))
    return as_json(
        {
            "id": one.id,
            "state": one.state,
            "reason": one.reason,
            "counts": one.counts,
            "files": [{"name": name, "href": href, "size_bytes": there.size_bytes} for name, there, href in stored if there],
            "rows": {
                outcome: {"count": rows_of(one, outcome), "href": f"{base}/results/{outcome}?format=native"}
                for outcome in RowOutcome
            },
            "summary": _summary(one),
            "removed": one.removed,
        }
    )


def rows_of(one: ImportRecord, outcome: RowOutcome) -> int:
    """Return how many rows have that outcome so far."""
    succeeded = one.processed - one.failed
    return {RowOutcome.SUCCEEDED: succeeded, RowOutcome.FAILED: one.failed, RowOutcome.UNPROCESSED: one.unprocessed}[outcome]


def _summary(one: ImportRecord) -> Any:
    try:
        return orjson.loads(app_context().store.get_bytes(f"{results_prefix(one.id)}summary.json"))
    except NotThere:
        return None


@api.get(
    "/failed",
    summary="List failed records",
    responses={200: FailurePage, 202: BeingWritten},
    problems=_FILE_PROBLEMS,
    files=_FILES,
    example=Example(query={"limit": 100}),
)
@for_role(Role.READER)
@recorded_as(Action.DOWNLOAD, when=audit_log.asks_for_file)
def failed(path: ImportPath, query: FailuresQuery) -> Response:
    """Records that validation quarantined or the warehouse rejected: a page; with ``format``, all of them as a file."""
    one = find(path.import_id)
    if query.format is not None:
        return _file(one, RowOutcome.FAILED, query.format)
    if one.failed:
        check_kept(one, Kept.RESULTS)
    check_shown(one)
    after = cursor_row(query.cursor)
    found = app_context().ledger.failures.page(one.id, after_row=after, limit=query.limit + 1, is_clear=may_unmask())
    rows, next_cursor = page_of(found, query.limit, lambda row: row["row"])
    items = [{"place": place_of_record(row["row"], one.reading), **row} for row in rows]
    return as_json({"items": items, "next_cursor": next_cursor, "total": one.failed})


@api.get(
    "/succeeded",
    summary="Download the succeeded rows",
    responses={202: BeingWritten},
    problems=_FILE_PROBLEMS,
    files=_FILES,
    example=Example(query={"format": "csv"}),
)
@for_role(Role.READER)
@recorded_as(Action.DOWNLOAD)
def succeeded(path: ImportPath, query: RowsQuery) -> Response:
    """All columns of the file in their order, then row, code and reason. 202 while the file is being written: ask again.

    ``native`` (the format of the uploaded file) and ``parquet`` are exact and can be uploaded again. ``csv`` and ``json`` are
    for people; in ``csv``, text that a spreadsheet would run as a formula gets an apostrophe before it.
    """
    return _file(find(path.import_id), RowOutcome.SUCCEEDED, query.format)


@api.get(
    "/unprocessed",
    summary="Download the unprocessed rows",
    responses={202: BeingWritten},
    problems=_FILE_PROBLEMS,
    files=_FILES,
    example=Example(query={"format": "native"}),
)
@for_role(Role.READER)
@recorded_as(Action.DOWNLOAD)
def unprocessed(path: ImportPath, query: RowsQuery) -> Response:
    """As for the succeeded rows."""
    return _file(find(path.import_id), RowOutcome.UNPROCESSED, query.format)


def _file(one: ImportRecord, outcome: RowOutcome, form: str) -> Response:
    audit_log.describe(what=f"{outcome} rows", format=form)
    if not one.state.is_final:
        raise Problem("not_finished", f"The import is {one.state}. Its rows have results when it has ended.")
    check_kept(one, Kept.RESULTS)
    check_shown(one)
    kind = native_format(one.reading) if form == "native" else form
    stored_form = "parquet" if form == "arrow" else form
    masked, name = results_key(one.id, outcome, stored_form, one.reading), f"{outcome}-{one.id}.{kind}"
    key = clear_key(masked, results_prefix(one.id))
    try:
        if form == "arrow":
            return as_download(as_arrow(open_parquet(app_context().store, key)), name, CONTENT_TYPES[kind])
        chunks, stored = app_context().store.stream(key)
    except NotThere:
        return _request_file(one, outcome, stored_form)
    return as_download(chunks, name, CONTENT_TYPES[kind], stored.size_bytes)


def _request_file(one: ImportRecord, outcome: RowOutcome, form: str) -> Response:
    """Have a worker write the file, which was not requested before, and answer 202."""
    if one.state in (State.DUPLICATE, State.EXPIRED) or not one.records_total:
        raise Problem("no_results", f"The import is {one.state}: its file was not processed.")
    check_kept(one, Kept.SOURCE)
    try:
        app_context().temporal.write_results(ResultsWanted(one.ref, outcome, form))
    except NotFound as error:
        raise Problem("no_results", str(error)) from error
    waiting = {"state": "being_written", "detail": f"The {outcome} rows are being written. Ask again in a moment."}
    return as_json(waiting, 202, **{"Retry-After": "1"})
