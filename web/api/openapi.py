"""Make the OpenAPI 3.1 document of the API from the routes and their models, and the page that shows it.

flask-openapi3 takes parameters, bodies and responses from the code. Added here is what each route says beside its models
(web/api/blueprint.py), the problems that its parameters imply, the headers of every response, and examples.
"""

from __future__ import annotations

import copy
import functools
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

from flask import Blueprint, Flask, current_app, render_template
from flask.typing import ResponseReturnValue

from web.api import openapi_webhooks
from web.api.blueprint import ApiBlueprint, Example, RouteDescription
from web.api.openapi_examples import CSV, PATH, SCHEMAS
from web.http.auth import for_anyone
from web.http.problems import PROBLEM_TYPES
from web.http.responses import CONTENT_TYPES

Json = dict[str, Any]

PROBLEM = "application/problem+json"

_ALWAYS = ("unauthorized", "forbidden", "too_many_requests", "internal", "not_ready", "unreachable")
_OF_PARAMETER = {
    "dataset": ("unknown_dataset",),
    "import_id": ("unknown_import",),
    "audit_id": ("unknown_audit",),
    "record_id": ("unknown_record",),
    "key_id": ("unknown_key",),
    "login_id": ("unknown_login",),
    "webhook_id": ("unknown_webhook",),
    "upload_id": ("unknown_upload",),
}
_BINARY = ("parquet", "xlsx", "arrow")

HEADERS: Json = {
    "X-Request-Id": ("The X-Request-Id of the request if it is valid, otherwise a new one", {"type": "string"}),
    "RateLimit-Policy": ("Number of requests that this key may send, and in how many seconds", {"type": "string"}),
    "RateLimit": ("Number of requests left, and seconds until all are available again", {"type": "string"}),
    "Retry-After": ("Seconds to wait before the next request", {"type": "string", "pattern": "^[0-9]+$"}),
    "ETag": ("Send it as If-None-Match: an unchanged response is 304 without a body", {"type": "string"}),
    "Link": ('rel="next": the next page (keyset pagination)', {"type": "string"}),
    "Location": ("URL of the import or the audit", {"type": "string"}),
    "Idempotent-Replayed": (
        "true: an earlier request with this Idempotency-Key created it",
        {"type": "string"},
    ),
    "X-Truncated": ("true: the result was cut at a limit", {"type": "string"}),
}

pages = Blueprint("apidoc", __name__)


def install(app: Flask) -> None:
    """Add the page to the app."""
    app.jinja_env.filters["said"] = _said
    app.register_blueprint(pages)


def document() -> Json:
    """Return the whole document. It is made once per process."""
    known = current_app.extensions.get("api document")
    if known is None:
        known = current_app.extensions["api document"] = _document(current_app)
    return cast(Json, known)


@pages.get("/docs")
@for_anyone
def docs_page() -> ResponseReturnValue:
    """Show the document as a page."""
    described = document()
    groups: dict[str, list[Json]] = defaultdict(list)
    for path, method, operation in operations(described):
        groups[operation["tags"][0]].append({**operation, "path": path, "method": method.upper()})
    about = {tag["name"]: tag["description"] for tag in described["tags"]}
    return render_template("api.html", groups=groups, about=about, spec=described, tried=readable())


def operations(described: Json) -> Iterator[tuple[str, str, Json]]:
    """Yield path, method and description of every operation."""
    for path, item in described["paths"].items():
        for method, operation in item.items():
            yield path, method, operation


def readable() -> dict[str, tuple[str, Json]]:
    """Return path and description of each operation of /v1 that reads data, by its id."""
    return {
        operation["operationId"]: (path, operation)
        for path, method, operation in operations(document())
        if method == "get" and path.startswith("/v1/") and _is_data(operation)
    }


def _is_data(operation: Json) -> bool:
    kinds = {kind.partition(";")[0] for kind in operation["responses"].get("200", {}).get("content", {})}
    return bool(kinds & {"application/json", "text/csv"})


def _said(value: Any) -> str:
    """Return a value as it is written in a query or a body."""
    return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)


# --- making it ---


def _document(app: Flask) -> Json:
    described: Json = copy.deepcopy(app.api_doc)  # type: ignore[attr-defined]
    endpoints = dict(_endpoints(app))
    for path, method, operation in operations(described):
        endpoint = endpoints[path, method]
        operation["operationId"] = endpoint.replace(".", "_")
        operation["x-role"] = str(cast(Any, app.view_functions[endpoint]).bulkhead_role)
        _complete(operation, _route(app, endpoint), method)
    described["openapi"] = "3.1.0"
    described["servers"] = [{"url": "/"}]
    components = described["components"]
    components["headers"] = {name: {"description": said, "schema": schema} for name, (said, schema) in HEADERS.items()}
    openapi_webhooks.describe(described)
    examples = {**SCHEMAS, **openapi_webhooks.WEBHOOK_SCHEMAS}
    for name, schema in components["schemas"].items():
        if name in examples:
            schema["examples"] = [examples[name]]
    return described


def _endpoints(app: Flask) -> Iterator[tuple[tuple[str, str], str]]:
    """Yield (path as in the document, method) and endpoint of every route."""
    for rule in app.url_map.iter_rules():
        path = functools.reduce(lambda text, kind: text.replace(kind, "{"), ("<name:", "<rest:", "<int:"), rule.rule)
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            yield (path.replace(">", "}"), method.lower()), rule.endpoint


def _route(app: Flask, endpoint: str) -> RouteDescription:
    """Return what the route's decorator says of it."""
    blueprint, _, view = endpoint.partition(".")
    return cast(ApiBlueprint, app.blueprints[blueprint]).described[view]


def _complete(operation: Json, route: RouteDescription, method: str) -> None:
    operation["description"] = operation.get("description", "").replace("<br/>", "\n")
    if route.takes_headers:
        operation["parameters"] += copy.deepcopy(route.takes_headers)
    _add_request_examples(operation, route.example)
    answers = {status: said for status, said in operation["responses"].items() if status not in ("default", "422")}
    has_etag = method == "get" and "application/json" in answers.get("200", {}).get("content", {})
    if route.files:
        _add_files(answers, route.files)
    for status, said in answers.items():
        _add_answer_examples(said)
        said["headers"] = _headers(status, route.headers)
    if has_etag and operation["tags"] != ["direct uploads"]:
        answers["304"] = {
            "description": "Not changed since the response whose ETag If-None-Match has",
            "headers": _headers("304", route.headers),
        }
    operation["responses"] = {**answers, **_problems(operation, route.problems)}


def _add_request_examples(operation: Json, asked: Example) -> None:
    for parameter in operation.get("parameters", ()):
        given = {"path": {**PATH, **asked.path}, "query": asked.query}.get(parameter["in"], {})
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
        if form in _JSON:
            rows = _JSON[form]
            paged = content.get(kind, {}).get("schema")
            content[kind] = {"schema": {"anyOf": [paged, rows]} if paged else rows}
        elif form in _BINARY:
            content[kind] = {"schema": {"type": "string", "format": "binary"}, "example": "(binary)"}
        else:
            content[kind] = {"schema": {"type": "string"}, "example": _AS_TEXT[form]}


_JSON: Mapping[str, Json] = {
    "json": {"type": "array", "items": {"type": "object"}},
    "suite": {"type": "object", "required": ["expectations"]},
}
_AS_TEXT = {
    "sql": 'create table warehouse.products (id text primary key, "parentId" text, name text);',
    "csv": CSV,
    "tsv": CSV.replace(",", "\t"),
    "ndjson": '{"id": "FR", "parentId": null, "name": "France", "kind": "Country"}\n',
}


def _add_answer_examples(answer: Json) -> None:
    """Give each response the example of its schema."""
    for content in answer.get("content", {}).values():
        schemas = content["schema"].get("anyOf", [content["schema"]])
        name = schemas[0].get("$ref", "").rpartition("/")[2]
        if name in SCHEMAS:
            content["example"] = SCHEMAS[name]
        elif schemas[0].get("type") == "array":
            content["example"] = [{"row": 3, "id": "XX-1", "code": "missing_parent"}]


def _headers(status: str, more: Iterable[str] = ()) -> Json:
    names = ["X-Request-Id", "RateLimit-Policy", "RateLimit", *more]
    names += ["Retry-After"] if status in ("202", "429", "503") else []
    names += ["ETag", "Link"] if status == "200" else []
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _problems(operation: Json, own: Iterable[str]) -> Json:
    """Return the responses for problems: one per status, with an example per code."""
    names = {parameter["name"] for parameter in operation.get("parameters", ())}
    codes = {*_ALWAYS, *own}
    codes |= {code for name in names for code in _OF_PARAMETER.get(name, ())}
    if any(parameter["in"] == "path" for parameter in operation.get("parameters", ())):
        codes.add("not_found")
    if names or "requestBody" in operation:
        codes |= {"bad_request", "invalid_parameter"}
    if "requestBody" in operation:
        codes |= {"unsupported_media_type", "too_large"}
    by_status: dict[str, list[str]] = defaultdict(list)
    for code in PROBLEM_TYPES:
        if code in codes:
            by_status[str(PROBLEM_TYPES[code].status)].append(code)
    return {status: _problem(status, of_status) for status, of_status in sorted(by_status.items())}


def _problem(status: str, codes: list[str]) -> Json:
    examples = {code: {"summary": PROBLEM_TYPES[code].title, "value": _example(code)} for code in codes}
    content = {PROBLEM: {"schema": {"$ref": "#/components/schemas/ProblemModel"}, "examples": examples}}
    return {"description": ", ".join(codes), "content": content, "headers": _headers(status)}


def _example(code: str) -> Json:
    kind = PROBLEM_TYPES[code]
    return {
        "type": f"https://bulkhead.example/problems#{code}",
        "title": kind.title,
        "status": kind.status,
        "code": code,
        "detail": f"{kind.title}. {kind.advice}",
        "instance": "/v1/imports",
        "request_id": "5d1f0c9a523c4a7e9f0e2b1d6c7a8e90",
    }
