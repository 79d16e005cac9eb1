"""The description of the API (OpenAPI 3.1), made from the routes and their models; and the page on which people read it.

flask-openapi3 gives what the code says of parameters, bodies and answers. Added here is what it cannot know: which problems a
route may answer with, which files it gives, the headers that all answers have, and examples.
"""

from __future__ import annotations

import copy
import functools
import json
from collections import defaultdict
from collections.abc import Iterator
from typing import Any, cast

from flask import Blueprint, Flask, current_app, render_template
from flask.typing import ResponseReturnValue

from pipeline.ledger.api_keys import Role
from web.api.openapi_examples import CSV, REQUESTS, SCHEMAS
from web.http.auth import for_anyone
from web.http.problems import KINDS
from web.http.responses import CONTENT_TYPES

Json = dict[str, Any]

PROBLEM = "application/problem+json"

_ALWAYS = ("unauthorized", "forbidden", "too_many_requests", "internal", "not_ready", "unreachable")
_OF_PARAMETER = {
    "dataset": ("unknown_dataset",),
    "import_id": ("unknown_import",),
    "record_id": ("unknown_record",),
    "key_id": ("unknown_key",),
    "webhook_id": ("unknown_webhook",),
    "upload_id": ("unknown_upload",),
}
_UPLOAD = (
    *("not_a_form", "no_file", "two_files", "empty_file", "broken_upload", "damaged_upload"),
    *("upload_in_flight", "canceled_meanwhile", "idempotency_mismatch", "too_large", "busy"),
)
_PART = ("upload_over", "canceled_meanwhile")
_FILE = ("not_finished", "no_results", "no_longer_kept")

PROBLEMS: dict[str, tuple[str, ...]] = {
    "imports.upload": (*_UPLOAD, "no_table"),
    "imports.list_imports": ("unknown_import",),
    "previews.preview": ("unreadable_file", "busy", "broken_upload", "empty_file"),
    "multipart.open_upload": ("unknown_dataset", "no_table"),
    "multipart.list_parts": _PART,
    "multipart.abort": _PART,
    "multipart.sign_parts": _PART,
    "multipart.sign_part": _PART,
    "multipart.complete": (*_PART, "wrong_parts", "too_large", "empty_file"),
    "multipart.sign_form": ("unknown_dataset", "no_table"),
    "events.watch_import": ("busy",),
    "control.cancel_import": ("already_finished",),
    "control.pause_import": ("already_finished", "conflict"),
    "control.resume_import": ("already_finished", "conflict"),
    "control.promote_import": ("wrong_state",),
    "control.retry_import": (*_UPLOAD, "not_finished", "nothing_to_retry", "no_results", "no_longer_kept"),
    "keys.create_key": ("unknown_dataset",),
    "records.list_records": ("busy", "no_table"),
    "reports.errors": ("no_report", "no_longer_kept"),
    "reports.groups": ("no_longer_kept",),
    "reports.report_page": ("no_report", "no_longer_kept"),
    "results.failed": _FILE,
    "results.succeeded": _FILE,
    "results.unprocessed": _FILE,
    "sql.query": ("query_refused", "query_too_slow", "query_too_large"),
    "webhooks.add_receiver": ("invalid_receiver", "unknown_dataset"),
    "webhooks.remove_receiver": ("named_elsewhere",),
    "webhooks.resend_delivery": ("unknown_delivery",),
}
"""Beside those that any route with such parameters has."""

_ROWS = ("csv", "json", "parquet", "arrow", "xlsx", "tsv", "ndjson")
FILES: dict[str, tuple[str, ...]] = {
    "records.list_records": ("csv", "json", "ndjson", "parquet", "arrow"),
    "reports.errors": ("csv", "json", "parquet", "arrow", "xlsx"),
    "previews.get_template": ("csv", "xlsx"),
    "results.failed": _ROWS,
    "results.succeeded": _ROWS,
    "results.unprocessed": _ROWS,
    "sql.query": ("csv", "parquet", "arrow"),
}
"""In which forms a route gives files."""

_BINARY = ("parquet", "xlsx", "arrow")

HEADERS: Json = {
    "X-Request-Id": ("The request's own X-Request-Id if it had a good one, else a new one", {"type": "string"}),
    "RateLimit-Policy": ("How many requests this key may send, and in how many seconds", {"type": "string"}),
    "RateLimit": ("How many are left, and in how many seconds there will be all of them again", {"type": "string"}),
    "Retry-After": ("In so many seconds", {"type": "string", "pattern": "^[0-9]+$"}),
    "ETag": ("Sent back as If-None-Match it saves the body, if nothing has changed", {"type": "string"}),
    "Link": ('rel="next": the next page', {"type": "string"}),
    "Location": ("Where the import is", {"type": "string"}),
    "Idempotent-Replayed": ("true: an earlier request with this Idempotency-Key made this import", {"type": "string"}),
    "X-Truncated": ("true: there was more than the limits let through", {"type": "string"}),
}

_TAKES_A_FILE = ("imports.upload", "control.retry_import")
_UPLOAD_HEADERS: list[Json] = [
    {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "The same request, sent again under the same key, gets the import that the first one made",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255},
        "example": '"8e03978e-40d5-43e8-bc93-6894a57f9324"',
    },
    {
        "name": "Content-Digest",
        "in": "header",
        "description": "SHA-256 of the body (RFC 9530): what arrives otherwise is not taken",
        "schema": {"type": "string"},
    },
]

pages = Blueprint("apidoc", __name__)


def install(app: Flask) -> None:
    """Add the page to the app."""
    app.jinja_env.filters["said"] = _said
    app.register_blueprint(pages)


def document() -> Json:
    """The whole description. Made once a process."""
    known = current_app.extensions.get("api document")
    if known is None:
        known = current_app.extensions["api document"] = _document(current_app)
    return cast(Json, known)


@pages.get("/docs")
@for_anyone
def docs_page() -> ResponseReturnValue:
    """The description for people."""
    described = document()
    groups: dict[str, list[Json]] = defaultdict(list)
    for path, method, operation in operations(described):
        groups[operation["tags"][0]].append({**operation, "path": path, "method": method.upper()})
    return render_template(
        "api.html", groups=groups, about={tag["name"]: tag["description"] for tag in described["tags"]}, spec=described
    )


def operations(described: Json) -> Iterator[tuple[str, str, Json]]:
    """Path, method and description of every operation."""
    for path, item in described["paths"].items():
        for method, operation in item.items():
            yield path, method, operation


def _said(value: Any) -> str:
    """A value as it stands in a query, or in a body."""
    return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)


# --- making it ---


def _document(app: Flask) -> Json:
    described: Json = copy.deepcopy(app.api_doc)  # type: ignore[attr-defined]
    endpoints = dict(_endpoints(app))
    for path, method, operation in operations(described):
        _complete(operation, endpoints[path, method], app)
    described["openapi"] = "3.1.0"
    described["servers"] = [{"url": "/"}]
    components = described["components"]
    components["headers"] = {name: {"description": said, "schema": schema} for name, (said, schema) in HEADERS.items()}
    for name, schema in components["schemas"].items():
        if name in SCHEMAS:
            schema["examples"] = [SCHEMAS[name]]
    return described


def _endpoints(app: Flask) -> Iterator[tuple[tuple[str, str], str]]:
    """(path as the document has it, method), endpoint."""
    for rule in app.url_map.iter_rules():
        path = functools.reduce(lambda text, kind: text.replace(kind, "{"), ("<name:", "<rest:", "<int:"), rule.rule)
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            yield (path.replace(">", "}"), method.lower()), rule.endpoint


def _complete(operation: Json, endpoint: str, app: Flask) -> None:
    role: Role = cast(Any, app.view_functions[endpoint]).bulkhead_role
    operation["operationId"] = endpoint.replace(".", "_")
    operation["x-role"] = str(role)
    operation["description"] = operation.get("description", "").replace("<br/>", "\n")
    if endpoint in _TAKES_A_FILE:
        operation["parameters"] += _UPLOAD_HEADERS
    _add_request_examples(operation, endpoint)
    answers = {status: said for status, said in operation["responses"].items() if status not in ("default", "422")}
    is_read = "200" in answers and "get" in _methods(app, endpoint)
    if endpoint in FILES:
        _add_files(answers, FILES[endpoint])
    if endpoint == "reports.report_page":
        kinds = {kind: {"schema": {}, "example": "<!doctype html>..."} for kind in ("text/html; charset=utf-8", "*/*")}
        answers["200"] = {"description": "The page, or what it needs", "content": kinds}
    if endpoint == "events.watch_import":
        answers.pop("503", None)
        answers["200"]["content"]["text/event-stream"]["example"] = (
            'retry: 1000\n\nid: 1-3-0123456789abcdef\ndata: {"state": "loading"}\n\n'
        )
    for status, said in answers.items():
        _add_answer_examples(said)
        said["headers"] = _headers(endpoint, status)
    if is_read and operation["tags"] != ["direct uploads"]:
        answers["304"] = {"description": "It is still what If-None-Match says", "headers": _headers(endpoint, "304")}
    operation["responses"] = {**answers, **_problems(operation, endpoint)}


def _methods(app: Flask, endpoint: str) -> set[str]:
    return {method.lower() for rule in app.url_map.iter_rules(endpoint) for method in rule.methods or ()}


def _add_request_examples(operation: Json, endpoint: str) -> None:
    asked = REQUESTS.get(endpoint)
    if asked is None:
        return
    for parameter in operation.get("parameters", ()):
        given = {"path": asked.path, "query": asked.query}.get(parameter["in"], {})
        if parameter["name"] in given:
            parameter["example"] = given[parameter["name"]]
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        if kind == "multipart/form-data":
            content["example"] = {"file": CSV}
        elif kind == "application/json" and isinstance(asked.body, str):
            content["example"] = [{"id": "FR", "parentId": None, "name": "France", "kind": "Country"}]
        else:
            content["example"] = asked.body


def _add_files(answers: Json, forms: tuple[str, ...]) -> None:
    answer = answers.setdefault("200", {"description": "The rows as a file"})
    content = answer.setdefault("content", {})
    for form in forms:
        kind = CONTENT_TYPES[form]
        if form == "json":
            rows = {"type": "array", "items": {"type": "object"}}
            paged = content.get(kind, {}).get("schema")
            content[kind] = {"schema": {"anyOf": [paged, rows]} if paged else rows}
        elif form in _BINARY:
            content[kind] = {"schema": {"type": "string", "format": "binary"}, "example": "(binary)"}
        else:
            content[kind] = {"schema": {"type": "string"}, "example": _AS_TEXT[form]}


_AS_TEXT = {
    "csv": CSV,
    "tsv": CSV.replace(",", "\t"),
    "ndjson": '{"id": "FR", "parentId": null, "name": "France", "kind": "Country"}\n',
}


def _add_answer_examples(answer: Json) -> None:
    """That of the schema, where the answer has one."""
    for content in answer.get("content", {}).values():
        schemas = content["schema"].get("anyOf", [content["schema"]])
        name = schemas[0].get("$ref", "").rpartition("/")[2]
        if name in SCHEMAS:
            content["example"] = SCHEMAS[name]
        elif schemas[0].get("type") == "array":
            content["example"] = [{"row": 3, "id": "XX-1", "code": "missing_parent"}]


def _headers(endpoint: str, status: str) -> Json:
    names = ["X-Request-Id", "RateLimit-Policy", "RateLimit"]
    names += ["Retry-After"] if status in ("202", "429", "503") or endpoint == "imports.get_import" else []
    names += ["ETag", "Link"] if status == "200" else []
    names += ["Location", "Idempotent-Replayed"] if endpoint in _TAKES_A_FILE else []
    names += ["X-Truncated"] if endpoint == "sql.query" else []
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _problems(operation: Json, endpoint: str) -> Json:
    """Each status of a problem, with an example a code."""
    names = {parameter["name"] for parameter in operation.get("parameters", ())}
    codes = {*_ALWAYS, *PROBLEMS.get(endpoint, ())}
    codes |= {code for name in names for code in _OF_PARAMETER.get(name, ())}
    if any(parameter["in"] == "path" for parameter in operation.get("parameters", ())):
        codes.add("not_found")
    if names or "requestBody" in operation:
        codes |= {"bad_request", "invalid_parameter"}
    if "requestBody" in operation:
        codes |= {"unsupported_media_type", "too_large"}
    by_status: dict[str, list[str]] = defaultdict(list)
    for code in KINDS:
        if code in codes:
            by_status[str(KINDS[code].status)].append(code)
    return {status: _problem(endpoint, status, of_status) for status, of_status in sorted(by_status.items())}


def _problem(endpoint: str, status: str, codes: list[str]) -> Json:
    examples = {code: {"summary": KINDS[code].title, "value": _example(code)} for code in codes}
    content = {PROBLEM: {"schema": {"$ref": "#/components/schemas/ProblemModel"}, "examples": examples}}
    return {"description": ", ".join(codes), "content": content, "headers": _headers("", status)}


def _example(code: str) -> Json:
    kind = KINDS[code]
    return {
        "type": f"https://bulkhead.example/problems#{code}",
        "title": kind.title,
        "status": kind.status,
        "code": code,
        "detail": f"{kind.title}. {kind.mend}",
        "instance": "/v1/imports",
        "request_id": "5d1f0c9a523c4a7e9f0e2b1d6c7a8e90",
    }
