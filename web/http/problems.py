"""Everything that can go wrong, as a problem document (RFC 9457) with a stable code, or as a page for a person.

``detail`` says what was wrong, where, and how to mend it. No stack trace, no SQL and no path of the server goes out;
what the log has more to say about is found by ``request_id``.
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
class Kind:
    """One kind of problem: its HTTP status, its name for people, and what to do about it."""

    status: int
    title: str
    mend: str


KINDS: Mapping[str, Kind] = {
    "bad_request": Kind(400, "The request cannot be understood", "Correct what the detail names, and send it again."),
    "invalid_parameter": Kind(422, "A parameter has a wrong value", "Correct the parameters listed under errors."),
    "not_a_form": Kind(400, "The form is damaged", "Send multipart/form-data with a boundary, or the bare file as body."),
    "no_file": Kind(400, "There is no file in the request", "Send one file: as the body, or as one file field of a form."),
    "two_files": Kind(400, "There is more than one file in the request", "Send one request for each file."),
    "empty_file": Kind(400, "The file is empty", "Send a file with a header and at least one record."),
    "broken_upload": Kind(400, "The upload broke off", "Send the file again, whole. Nothing of this upload was kept."),
    "damaged_upload": Kind(400, "The file changed on its way", "Send it again. Nothing of this upload was kept."),
    "unreadable_file": Kind(
        422, "The file cannot be read", "Mend what the detail names; an upload would tell all that is wrong."
    ),
    "unauthorized": Kind(401, "A key is needed", "Send Authorization: Bearer <key>, or open a fresh sign-in link."),
    "forbidden": Kind(403, "The key may not do this", "Use a key with the role that the detail names."),
    "csrf": Kind(403, "The form is out of date", "Reload the page and send it again."),
    "not_found": Kind(404, "There is nothing here", "See /openapi.json for what there is."),
    "unknown_dataset": Kind(404, "There is no such dataset", "GET /v1/datasets lists those there are."),
    "unknown_upload": Kind(404, "There is no such upload", "Open one: POST /s3/multipart."),
    "unknown_import": Kind(404, "There is no such import", "GET /v1/imports lists those there are."),
    "unknown_record": Kind(404, "There is no such record", "Ids are case-sensitive; encode a slash as %2F."),
    "unknown_key": Kind(404, "There is no such key", "GET /v1/keys lists those there are."),
    "unknown_webhook": Kind(404, "There is no such receiver", "GET /v1/webhooks lists those there are."),
    "unknown_delivery": Kind(404, "There is no such message", "GET /v1/imports/{id}/deliveries lists those there are."),
    "no_report": Kind(404, "There is no such report", "A report is stored once an import has been validated."),
    "method_not_allowed": Kind(405, "The method is not for this address", "Use one that the Allow header names."),
    "already_finished": Kind(409, "The import has come to its end", "Nothing is left to be changed about it."),
    "not_finished": Kind(409, "The import is still under way", "Wait for its end: GET the import until its state is final."),
    "nothing_to_retry": Kind(409, "No record failed", "Nothing is left to be tried again."),
    "no_results": Kind(410, "The results are not kept any more", "Upload the records again, from your own file."),
    "no_longer_kept": Kind(410, "That is not kept any more", "Whoever runs Bulkhead sets for how long it is; counts stay."),
    "wrong_state": Kind(409, "The import is in another state", "Only a validated dry run can be promoted."),
    "canceled_meanwhile": Kind(409, "The import was canceled during its upload", "Upload the file again if it is wanted."),
    "upload_in_flight": Kind(409, "This upload is still under way", "Wait for it, then ask again with the same key."),
    "upload_over": Kind(409, "The upload is over", "See its import; open another upload for another file."),
    "wrong_parts": Kind(
        409, "The parts are not what S3 has", "GET the upload lists what S3 has; send what is missing, and complete it again."
    ),
    "invalid_receiver": Kind(
        422, "Nobody can be told there", "Give an http or https address out in the internet, or one of mail."
    ),
    "named_elsewhere": Kind(409, "No admin added this receiver", "Take it out of where the detail says that it is named."),
    "no_table": Kind(409, "The dataset has no table yet", "Run bulkhead migrate, which makes it."),
    "conflict": Kind(409, "That is not possible now", "See the state of the import."),
    "too_large": Kind(413, "The body is too large", "Split the file, or raise BULKHEAD_MAX_UPLOAD_BYTES."),
    "unsupported_media_type": Kind(415, "The content type is not for this address", "Send what /openapi.json describes."),
    "idempotency_mismatch": Kind(422, "The Idempotency-Key was used for another upload", "Use a new key for a new upload."),
    "query_refused": Kind(400, "The query cannot be run", "Write one SELECT over the tables of the schema warehouse."),
    "query_too_slow": Kind(400, "The query took too long", "Narrow it down; id and parentId are indexed."),
    "query_too_large": Kind(400, "The query needs too much", "Select fewer or shorter values, or aggregate."),
    "unusable": Kind(400, "That cannot be done", "The detail says why."),
    "too_many_requests": Kind(429, "Too many requests in a short time", "Wait as long as Retry-After says."),
    "busy": Kind(503, "The server is busy", "Try again in a few seconds, as Retry-After says."),
    "not_ready": Kind(503, "Bulkhead is not set up for this", "An administrator has to act: the detail says what is missing."),
    "unreachable": Kind(503, "A part of the system does not answer", "Try again soon, as Retry-After says."),
    "internal": Kind(500, "Something went wrong in the system", "It is not your fault. Report it with the request_id."),
}
"""Every code there is. Codes are part of the interface: they may be added to, never changed."""

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
    """Ends a request with a problem document. ``more`` adds members to it."""

    def __init__(self, code: str, detail: str = "", *, headers: Mapping[str, str] | None = None, **more: Any) -> None:
        super().__init__(detail or KINDS[code].title)
        self.code = code
        self.detail = detail or f"{KINDS[code].title}. {KINDS[code].mend}"
        self.headers = dict(headers or {})
        self.more = more
        if KINDS[code].status == HTTPStatus.SERVICE_UNAVAILABLE:
            self.headers.setdefault("Retry-After", str(RETRY_SECONDS))


class ProblemModel(BaseModel):
    """A problem document (RFC 9457)."""

    type: str = Field(description="Address of a page that explains this kind of problem")
    title: str
    status: int
    code: str = Field(description="Stable name of this kind of problem")
    detail: str = Field(description="What was wrong, where, and how to mend it")
    instance: str
    request_id: str


def no_table(dataset: str) -> Problem:
    """That nothing can be done with a dataset yet."""
    return Problem("no_table", f"{dataset} has no table yet; run `bulkhead migrate`.")


def install(app: Flask) -> None:
    """Have the app answer every error with a problem."""
    app.register_error_handler(Problem, answer)
    app.register_error_handler(HTTPException, lambda error: answer(_from_http_exception(error)))
    app.register_error_handler(BulkheadError, lambda error: answer(_from_our_error(error)))
    app.register_error_handler(NotThere, lambda error: answer(Problem("no_report")))
    app.register_error_handler(PoolTimeoutError, lambda error: answer(Problem("busy")))
    app.register_error_handler(DBAPIError, lambda error: answer(_from_database_error(error)))
    app.register_error_handler(Exception, lambda error: answer(_internal(error)))


def refuse_parameters(error: ValidationError) -> NoReturn:
    """What flask-openapi3 calls when a parameter does not fit its model."""
    models = {one for subject in SUBJECTS for one in vars(subject).values() if isinstance(one, type)}
    wrong = parameter_messages.explained(error, sorted(models, key=lambda one: one.__name__))
    raise Problem("invalid_parameter", " ".join(one["detail"] for one in wrong), errors=wrong)


def answer(problem: Problem) -> Response:
    """The problem as JSON, or as a page where a browser asked for one."""
    kind = KINDS[problem.code]
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
        response = make_response(render_template("problem.html", problem=document, mend=kind.mend), kind.status)
    else:
        response = Response(json.dumps(document), kind.status, content_type="application/problem+json")
    response.headers.update(problem.headers)
    return response


def _wants_page() -> bool:
    if request.path.startswith(("/v1/", "/healthz", "/readyz", "/openapi.json")) and not _opens_report():
        return False
    return request.accept_mimetypes.best_match(["application/problem+json", "application/json", "text/html"]) == "text/html"


def _opens_report() -> bool:
    """Reports are part of the API, but people look at them in a browser."""
    return bool(re.match(r"/v1/imports/[^/]+/report", request.path)) and request.method == "GET"


def _from_http_exception(error: HTTPException) -> Problem:
    code = _BY_STATUS.get(error.code or 500)
    if code is None:
        code = "bad_request" if 400 <= (error.code or 500) < 500 else "internal"
    headers = {name: value for name, value in error.get_headers() if name in ("Allow", "Retry-After")}
    if code == "not_found":
        below = ("/v1/", "/s3/") if request.path.startswith(("/v1", "/s3")) else ("/",)
        near = parameter_messages.near_address(request.path, current_app.url_map, below=below)
        mend = f" {KINDS[code].mend}" if below != ("/",) or not _wants_page() else ""
        return Problem(code, f"Nothing is at {request.path}.{near}{mend}")
    if code == "method_not_allowed":
        allowed = headers.get("Allow", "")
        return Problem(code, f"{request.method} is not for {request.path}. Use {allowed or 'another method'}.", headers=headers)
    said = (error.description or "").strip()
    return Problem(code, f"{said} {KINDS[code].mend}".strip(), headers=headers)


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
"""The code of the problem that each class of errors is answered with; any other class is a fault of the system: 500."""


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
        return Problem("bad_request", "A value in the request is none that the database can hold, such as a NUL character.")
    log.warning("database", request_id=g.get("request_id"), error=str(error.orig))
    return Problem("unreachable")


def _internal(error: Exception) -> Problem:
    log.error("unexpected", request_id=g.get("request_id"), path=request.path, exc_info=error)
    return Problem("internal")
