"""A form for each operation of the API that reads: it shows the request and its answer, with the rights of the session."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlencode

import orjson
from flask import Blueprint, render_template, request
from flask.typing import ResponseReturnValue

from pipeline.ledger.api_keys import Role
from web.api.openapi import document, readable
from web.app_context import app_context
from web.http import inner_requests
from web.http.auth import for_role, key_in_use
from web.http.inner_requests import InnerAnswer
from web.http.problems import Problem
from web.http.responses import json_bytes
from web.services import key_scope

SHOWN_BYTES = 64 << 10
SHOWN_HEADERS = ("Content-Type", "ETag", "Link", "RateLimit", "RateLimit-Policy", "Retry-After", "X-Request-Id")
_TEXTS = ("application/json", "application/problem+json", "application/x-ndjson", "text/csv", "text/tab-separated-values")

Json = dict[str, Any]

pages = Blueprint("api_try", __name__)


@dataclass(frozen=True)
class Field:
    """One parameter of the form; ``choices`` are empty for free text."""

    name: str
    place: str
    is_required: bool
    description: str
    value: str
    example: str
    choices: tuple[str, ...] = ()


@pages.get("/docs/try/<name:operation>")
@for_role(Role.READER)
def try_page(operation: str) -> ResponseReturnValue:
    """Show the form of an operation; with ``send``, send the request and show its answer."""
    found = readable().get(operation)
    if found is None:
        raise Problem("not_found", "There is no operation of that name that reads. See /docs.")
    path, described = found
    fields = _fields(described)
    missing = [field.name for field in fields if field.is_required and not field.value]
    address = None if missing else address_of(path, fields)
    answer = None
    if "send" in request.args and address is not None:
        answer = inner_requests.get(address, bytes_max=SHOWN_BYTES)
    return render_template(
        "api_try.html",
        one=described,
        path=path,
        fields=fields,
        missing=missing if "send" in request.args else [],
        address=address,
        server=app_context().settings.url.rstrip("/"),
        answer=answer,
        phrase=HTTPStatus(answer.status).phrase if answer else "",
        headers=[(name, answer.headers[name]) for name in SHOWN_HEADERS if name in answer.headers] if answer else [],
        body=text_of(answer) if answer else None,
        may=key_in_use().role.covers(Role(described["x-role"])),
    )


def _fields(operation: Json) -> list[Field]:
    return [_field(one) for one in operation.get("parameters", ()) if one["in"] in ("path", "query")]


def _field(parameter: Json) -> Field:
    name, place = parameter["name"], parameter["in"]
    choices = _choices(parameter["schema"])
    if name == "dataset":
        choices = tuple(dataset.name for dataset in key_scope.datasets())
    is_required = place == "path" or parameter.get("required", False)
    value = request.args.get(name, "").strip() if "send" in request.args else _first(name) if is_required else ""
    return Field(
        name=name,
        place=place,
        is_required=is_required,
        description=parameter.get("description", ""),
        value=value,
        example=str(parameter.get("example", "")),
        choices=choices,
    )


def _first(name: str) -> str:
    """Return what a form has at first: the reader's first dataset or newest import."""
    if name == "dataset":
        return next((dataset.name for dataset in key_scope.datasets()), "")
    if name == "import_id":
        return next((one.id for one in key_scope.imports(limit=1)), "")
    return ""


def _choices(schema: Json) -> tuple[str, ...]:
    """Return the values that a schema allows, if they are few."""
    if schema.get("type") == "boolean":
        return ("true", "false")
    for one in (schema, *schema.get("anyOf", ())):
        name = one.get("$ref", "").rpartition("/")[2]
        known = document()["components"]["schemas"][name] if name else one
        if "enum" in known:
            return tuple(map(str, known["enum"]))
    return ()


def address_of(path: str, fields: list[Field]) -> str:
    """Return the path with its parameters, and the query of those that are set."""
    values: Mapping[str, str] = {field.name: quote(field.value, safe="") for field in fields if field.place == "path"}
    query = urlencode([(field.name, field.value) for field in fields if field.place == "query" and field.value])
    return path.format_map(values) + (f"?{query}" if query else "")


def text_of(answer: InnerAnswer) -> str | None:
    """Return the body as text, JSON indented; None if it is no text."""
    if answer.mimetype not in _TEXTS:
        return None
    if answer.is_whole and answer.mimetype.endswith("json"):
        try:
            return json_bytes(orjson.loads(answer.body), indented=True).decode()
        except orjson.JSONDecodeError:
            pass
    return answer.body.decode("utf-8", "replace")
