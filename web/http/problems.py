"""Answer errors with problem documents (RFC 9457) that have a stable code, or with a page where a browser asked for one.

``detail`` says what is wrong, where, and what to do. It never has a stack trace, SQL or a path of the server; the log has more,
under the ``request_id``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, NoReturn

import structlog
from flask import Flask, Response, current_app, g, json, make_response, render_template, request
from psycopg.errors import UndefinedTable
from pydantic import BaseModel, Field, ValidationError
from sqlalchemy.exc import DataError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from werkzeug.exceptions import HTTPException

from pipeline.adapters.s3 import NotThere
from pipeline.errors import BulkheadError, Conflict, InvalidRequest, NotFound, NotReady, TransientError, UnknownDataset
from pipeline.warehouse.query import QueryRefused, QueryStopped, ResultTooLarge
from web.http import parameter_messages
from web.models import SUBJECTS

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class ProblemType:
    """One type of problem: its HTTP status, its title, and what to do about it."""

    status: int
    title: str
    advice: str


PROBLEM_TYPES: Mapping[str, ProblemType] = {
    "bad_request": ProblemType(400, "Invalid request", "Correct what the detail names and send the request again."),
    "invalid_parameter": ProblemType(422, "Invalid parameter", "Correct the parameters listed under errors."),
    "not_a_form": ProblemType(400, "Invalid form", "Send multipart/form-data with a boundary, or the file alone as the body."),
    "no_file": ProblemType(400, "No file in the request", "Send one file: as the body, or as one file field of a form."),
    "two_files": ProblemType(400, "More than one file in the request", "Send one request for each file."),
    "empty_file": ProblemType(400, "The file is empty", "Send a file with a header and at least one record."),
    "broken_upload": ProblemType(400, "The upload was interrupted", "Send the file again. Nothing of this upload was kept."),
    "damaged_upload": ProblemType(400, "The file was damaged in transit", "Send it again. Nothing of this upload was kept."),
    "unreadable_file": ProblemType(
        422, "The file cannot be read", "Correct what the detail names; uploading the file reports all its errors."
    ),
    "unauthorized": ProblemType(401, "An API key is required", "Send Authorization: Bearer <key>, or open a new sign-in link."),
    "forbidden": ProblemType(403, "The key has no permission for this", "Use a key with the role that the detail names."),
    "csrf": ProblemType(403, "The form has expired", "Reload the page and send it again."),
    "not_found": ProblemType(404, "Not found", "See /openapi.json for all addresses."),
    "unknown_dataset": ProblemType(404, "Unknown dataset", "GET /v1/datasets lists all datasets."),
    "unknown_upload": ProblemType(404, "Unknown upload", "Open one: POST /s3/multipart."),
    "unknown_import": ProblemType(404, "Unknown import", "GET /v1/imports lists all imports."),
    "unknown_record": ProblemType(404, "Unknown record", "IDs are case-sensitive; encode a slash as %2F."),
    "unknown_key": ProblemType(404, "Unknown key", "GET /v1/keys lists all keys."),
    "unknown_login": ProblemType(404, "Unknown login", "GET /v1/database-logins lists all logins."),
    "unknown_webhook": ProblemType(404, "Unknown recipient", "GET /v1/webhooks lists all recipients."),
    "unknown_delivery": ProblemType(404, "Unknown message", "GET /v1/imports/{id}/deliveries lists all messages of an import."),
    "unknown_audit": ProblemType(404, "Unknown audit", "GET /v1/datasets/{dataset}/audits lists all audits of a dataset."),
    "audit_at_work": ProblemType(
        409, "An audit of this dataset has not ended", "Wait for the audit that the detail names, or cancel it."
    ),
    "no_report": ProblemType(404, "No report", "A report is stored once an import has been validated."),
    "method_not_allowed": ProblemType(405, "Method not allowed", "Use a method that the Allow header names."),
    "already_finished": ProblemType(409, "The import has ended", "It can no longer be changed."),
    "audit_ended": ProblemType(409, "The audit has ended", "It can no longer be canceled."),
    "not_finished": ProblemType(409, "The import has not ended", "GET the import until its state is final."),
    "nothing_to_retry": ProblemType(409, "No failed records", "There is nothing to retry."),
    "no_results": ProblemType(410, "The results are not available", "Upload the records again, from your own file."),
    "no_longer_kept": ProblemType(410, "No longer available", "Deleted by the retention policy. Counts are kept."),
    "wrong_state": ProblemType(409, "The import is in the wrong state", "Only a validated dry run can be promoted."),
    "canceled_meanwhile": ProblemType(
        409, "The import was canceled during its upload", "Upload the file again if you still want it imported."
    ),
    "upload_in_flight": ProblemType(
        409, "The upload is still in progress", "Wait for it, then send the request again with the same Idempotency-Key."
    ),
    "upload_over": ProblemType(409, "The upload has ended", "See its import; open another upload for another file."),
    "wrong_parts": ProblemType(
        409,
        "The parts differ from those in S3",
        "GET the upload to list the parts in S3; send what is missing, and complete the upload again.",
    ),
    "invalid_receiver": ProblemType(422, "Invalid recipient", "Use a public http(s) URL or an e-mail address."),
    "named_elsewhere": ProblemType(
        409, "This recipient is not managed here", "Remove it from the configuration named in the detail."
    ),
    "dataset_exists": ProblemType(409, "The name is taken", "Choose another name for the dataset."),
    "version_required": ProblemType(428, "The version is missing", "Send If-Match with the version of the definition."),
    "other_version": ProblemType(412, "The definition was changed meanwhile", "GET it again, and change what it says now."),
    "imports_at_work": ProblemType(409, "Imports of the dataset are running", "Wait for them, or cancel them."),
    "not_confirmed": ProblemType(422, "The name was not confirmed", "Send the dataset's name once more, as confirm=NAME."),
    "cannot_change": ProblemType(409, "This change is not possible", "The detail says why, and what is possible."),
    "no_table": ProblemType(409, "The dataset has no table yet", "Run bulkhead migrate to create it."),
    "no_search_index": ProblemType(
        409,
        "The dataset has no index for a search",
        "Search by the complete ID, or name columns under meta.search of its suite.",
    ),
    "conflict": ProblemType(409, "Conflict with the current state", "See the state of the import."),
    "not_editable": ProblemType(409, "The file cannot be edited", "Upload a corrected file as a retry."),
    "other_value": ProblemType(409, "The file has another value", "Reload the findings, and edit what the file has."),
    "file_changed": ProblemType(
        409,
        "The file is not the one that was edited",
        "The edits do not fit another version of the file: upload it, and edit it.",
    ),
    "patch_conflict": ProblemType(
        412,
        "The edits were changed meanwhile",
        "Look at what was changed, and send yours to the version that the detail names.",
    ),
    "too_many_edits": ProblemType(422, "Too many edits", "Correct the file itself, and upload it as a retry."),
    "precondition_required": ProblemType(
        428, "If-Match is required", 'Send the ETag of the edits as If-Match; "0" if there are none yet.'
    ),
    "too_large": ProblemType(413, "The body is too large", "Split the file, or raise BULKHEAD_MAX_UPLOAD_BYTES."),
    "unsupported_media_type": ProblemType(415, "Unsupported content type", "Send a content type that /openapi.json lists."),
    "idempotency_mismatch": ProblemType(
        422, "The Idempotency-Key was used for another upload", "Use a new key for a new upload."
    ),
    "query_refused": ProblemType(400, "The query is not allowed", "Write one SELECT over the tables of the schema warehouse."),
    "query_too_slow": ProblemType(400, "The query took too long", "Narrow it down; id and parentId are indexed."),
    "query_too_large": ProblemType(400, "The query needs too much memory", "Select fewer or shorter values, or aggregate."),
    "unusable": ProblemType(400, "The request cannot be fulfilled", "The detail says why."),
    "too_many_requests": ProblemType(429, "Too many requests", "Wait as long as Retry-After says."),
    "busy": ProblemType(503, "The server is busy", "Try again in a few seconds, as Retry-After says."),
    "not_ready": ProblemType(503, "Bulkhead is not set up for this", "Ask an administrator: the detail says what is missing."),
    "unreachable": ProblemType(503, "A service that Bulkhead needs does not answer", "Try again soon, as Retry-After says."),
    "internal": ProblemType(500, "Internal error", "It is not your fault. Report it with the request_id."),
}
"""All types of problems, by code. Codes are part of the interface: they may be added to, never changed."""

_BY_STATUS = {
    400: "bad_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
    415: "unsupported_media_type",
    422: "invalid_parameter",
    429: "too_many_requests",
    503: "busy",
}
RETRY_SECONDS = 2
_TABLE = re.compile(r'relation "warehouse\.([a-z][a-z0-9_]*)" does not exist')


class Problem(Exception):
    """End a request with a problem document. ``detail`` defaults to that of its type; ``more`` adds members to the document."""

    def __init__(self, code: str, detail: str = "", *, headers: Mapping[str, str] | None = None, **more: Any) -> None:
        super().__init__(detail or PROBLEM_TYPES[code].title)
        self.code = code
        self.detail = detail or f"{PROBLEM_TYPES[code].title}. {PROBLEM_TYPES[code].advice}"
        self.headers = dict(headers or {})
        self.more = more
        if PROBLEM_TYPES[code].status == HTTPStatus.SERVICE_UNAVAILABLE:
            self.headers.setdefault("Retry-After", str(RETRY_SECONDS))


class ProblemModel(BaseModel):
    """A problem document (RFC 9457)."""

    type: str = Field(description="URL of a page that explains this type of problem")
    title: str
    status: int
    code: str = Field(description="Stable name of this type of problem")
    detail: str = Field(description="What is wrong, where, and what to do")
    instance: str
    request_id: str


def no_table(dataset: str) -> Problem:
    """Return the problem of a dataset whose table has not been created yet."""
    return Problem("no_table", f"{dataset} has no table yet; run `bulkhead migrate`.")


def install(app: Flask) -> None:
    """Register the error handlers: the app answers every error with a problem."""
    app.register_error_handler(Problem, answer)
    app.register_error_handler(HTTPException, lambda error: answer(_from_http_exception(error)))
    app.register_error_handler(BulkheadError, lambda error: answer(_from_our_error(error)))
    app.register_error_handler(NotThere, lambda error: answer(Problem("no_report")))
    app.register_error_handler(PoolTimeoutError, lambda error: answer(Problem("busy")))
    app.register_error_handler(DBAPIError, lambda error: answer(_from_database_error(error)))
    app.register_error_handler(Exception, lambda error: answer(_internal(error)))


def refuse_parameters(error: ValidationError) -> NoReturn:
    """Raise the Problem of parameters that do not fit their model. flask-openapi3 calls this."""
    models = {one for subject in SUBJECTS for one in vars(subject).values() if isinstance(one, type)}
    wrong = parameter_messages.explain(error, sorted(models, key=lambda one: one.__name__))
    raise Problem("invalid_parameter", " ".join(one["detail"] for one in wrong), errors=wrong)


def answer(problem: Problem) -> Response:
    """Return the response: the problem as JSON, or as a page where a browser asked for one."""
    kind = PROBLEM_TYPES[problem.code]
    g.problem_code = problem.code
    document = {
        "type": f"{request.host_url}problems#{problem.code}",
        "title": kind.title,
        "status": kind.status,
        "code": problem.code,
        "detail": problem.detail,
        "instance": request.path,
        "request_id": g.get("request_id", ""),
        **problem.more,
    }
    if _wants_page():
        response = make_response(render_template("problem.html", problem=document), kind.status)
    else:
        response = Response(json.dumps(document), kind.status, content_type="application/problem+json")
    response.headers.update(problem.headers)
    return response


def _wants_page() -> bool:
    if request.path.startswith(("/v1/", "/healthz", "/readyz", "/openapi.json")) and not _opens_report():
        return False
    return request.accept_mimetypes.best_match(["application/problem+json", "application/json", "text/html"]) == "text/html"


def _opens_report() -> bool:
    """Return whether the request is for a report: part of the API, but read in a browser."""
    return bool(re.match(r"/v1/imports/[^/]+/report", request.path)) and request.method == "GET"


def _from_http_exception(error: HTTPException) -> Problem:
    code = _BY_STATUS.get(error.code or 500)
    if code is None:
        code = "bad_request" if 400 <= (error.code or 500) < 500 else "internal"
    headers = {name: value for name, value in error.get_headers() if name in ("Allow", "Retry-After")}
    if code == "not_found":
        below = ("/v1/", "/s3/") if request.path.startswith(("/v1", "/s3")) else ("/",)
        near = parameter_messages.near_address(request.path, current_app.url_map, below=below)
        advice = f" {PROBLEM_TYPES[code].advice}" if below != ("/",) or not _wants_page() else ""
        return Problem(code, f"There is nothing at {request.path}.{near}{advice}")
    if code == "method_not_allowed":
        allowed = headers.get("Allow", "")
        return Problem(
            code, f"{request.path} does not accept {request.method}. Use {allowed or 'another method'}.", headers=headers
        )
    said = (error.description or "").strip()
    return Problem(code, f"{said} {PROBLEM_TYPES[code].advice}".strip(), headers=headers)


_CODES: Sequence[tuple[type[BulkheadError], str]] = [  # the most specific class first
    (UnknownDataset, "unknown_dataset"),
    (QueryRefused, "query_refused"),
    (QueryStopped, "query_too_slow"),
    (ResultTooLarge, "query_too_large"),
    (InvalidRequest, "unusable"),
    (NotFound, "not_found"),
    (Conflict, "conflict"),
    (NotReady, "not_ready"),
]
"""The code that each class of errors is answered with. Any other class is an internal error: 500."""


def _from_our_error(error: BulkheadError) -> Problem:
    for kind, code in _CODES:
        if isinstance(error, kind):
            return Problem(code, str(error))
    if isinstance(error, TransientError):
        log.warning("unreachable", request_id=g.get("request_id"), error=str(error))
        return Problem("unreachable")
    return _internal(error)


def _from_database_error(error: DBAPIError) -> Problem:
    if isinstance(error.orig, UndefinedTable) and (named := _TABLE.search(str(error.orig))):
        return no_table(named[1])
    if isinstance(error, DataError):
        return Problem("bad_request", "The request contains a value that PostgreSQL cannot store, such as a NUL character.")
    log.warning("database", request_id=g.get("request_id"), error=str(error.orig))
    return Problem("unreachable")


def _internal(error: Exception) -> Problem:
    log.error("unexpected", request_id=g.get("request_id"), path=request.path, exc_info=error)
    return Problem("internal")
