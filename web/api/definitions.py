"""The API of datasets' definitions, for admins: a proposal from a file, creation, versions, changes, and the end."""

from __future__ import annotations

import json
from typing import Any

from flask import Response, request

from pipeline.datasets.definition_files import Files
from pipeline.ledger.api_keys import Role
from pipeline.ledger.audit_log import Action
from web.api.blueprint import ApiBlueprint, Example
from web.api.definition_examples import DEFINITION_BODY
from web.api.openapi_examples import CSV
from web.api.previews import BODY
from web.api.records import api as datasets_api  # its addresses are those of these two, and a document has each once
from web.app_context import app_context
from web.http.audit_log import recorded_as
from web.http.auth import for_role
from web.http.problems import Problem
from web.http.request_body import Form
from web.http.responses import CONTENT_TYPES, as_download, as_json
from web.models.common import DatasetPath
from web.models.definitions import (
    ChangeAnswer,
    ChangeQuery,
    DefinitionAnswer,
    DefinitionBody,
    DropAnswer,
    DropQuery,
    Proposal,
    ProposeQuery,
    VersionQuery,
)
from web.services import definitions, key_scope
from web.services.uploads import body_chunks, upload_slot

IF_MATCH: tuple[dict[str, Any], ...] = (
    {
        "name": "If-Match",
        "in": "header",
        "required": True,
        "description": "The version of the definition that is changed, as GET returns it in ETag",
        "schema": {"type": "string", "minLength": 1},
        "example": '"1"',
    },
)

api = ApiBlueprint("definitions", "/v1/datasets", "datasets")


@api.post(
    "/propose",
    summary="Propose a dataset for a file",
    responses={200: Proposal},
    openapi_extensions=BODY,
    problems=("unreadable_file", "busy", "broken_upload", "empty_file"),
    example=Example(query={"name": "places_by_code", "filename": "places.csv"}, body=CSV),
)
@for_role(Role.ADMIN)
def propose(query: ProposeQuery) -> Response:
    """Key, parent, types and rules, by all values of the file; and what each choice would refuse in it. Nothing is stored.

    The body is the file; or a form with the field ``definition`` (JSON, as this returns it) before the file: then what that
    definition would refuse.
    """
    with upload_slot(app_context()):
        chunks, given, filename = body_chunks(request, definitions.FILE_BYTES_MAX), None, query.filename
        if request.mimetype == "multipart/form-data":
            form = Form(chunks, request.mimetype_params.get("boundary", ""))
            chunks, filename = form.file_chunks(), filename or form.filename
            given = _definition_in(form.fields.get("definition", ""))
        with definitions.scratch_file(chunks) as source:
            return as_json(definitions.propose(source, query.name, filename, given))


def _definition_in(field: str) -> dict[str, Any] | None:
    if not field:
        return None
    try:
        given = json.loads(field)
    except (ValueError, RecursionError) as error:
        raise Problem("invalid_parameter", f"definition is no JSON: {error}") from error
    if not isinstance(given, dict):
        raise Problem("invalid_parameter", "definition is an object.")
    return given


@datasets_api.post(
    "",
    summary="Create a dataset",
    responses={201: DefinitionAnswer},
    problems=("dataset_exists", "cannot_change"),
    example=Example(body=DEFINITION_BODY),
)
@for_role(Role.ADMIN)
@recorded_as(Action.DATASET_CHANGED, "dataset", "dataset")
def create_dataset(body: DefinitionBody) -> Response:
    """Its definition, its table and its tree view. Every process knows it at once; files can be uploaded to it."""
    name, files = _given(body)
    return as_json(definitions.create(name, files), 201)


def _given(body: DefinitionBody, before: Any = None) -> tuple[str, Files]:
    definition = body.definition.model_dump() if body.definition else None
    files = Files(body.files.suite, body.files.table) if body.files else None
    return definitions.given_files(body.name, definition, files, before)


@api.get(
    "/<name:dataset>/definition",
    summary="Get a dataset's definition",
    responses={200: DefinitionAnswer},
    files=("suite", "sql"),
    example=Example({"dataset": "products"}),
)
@for_role(Role.ADMIN)
def get_definition(path: DatasetPath, query: VersionQuery) -> Response:
    """As JSON and as the two files, which ``bulkhead dataset import`` and a checkout take."""
    shown = definitions.shown(key_scope.dataset(path.dataset).name, query.version)
    if query.format != "json":
        text, ending = shown["files"][query.format].encode(), {"suite": "json", "table": "sql"}[query.format]
        return as_download([text], f"{path.dataset}.{ending}", CONTENT_TYPES[ending], len(text))
    answer = as_json(shown)
    if answer.status_code == 200 and shown["version"] is not None:
        answer.set_etag(str(shown["version"]))
        answer.make_conditional(request)
    return answer


@api.put(
    "/<name:dataset>/definition",
    summary="Change a dataset's definition",
    responses={200: ChangeAnswer},
    problems=("version_required", "other_version", "cannot_change", "imports_at_work", "busy"),
    takes_headers=IF_MATCH,
    example=Example({"dataset": "products"}, {"dry_run": True}, body=DEFINITION_BODY),
)
@for_role(Role.ADMIN)
@recorded_as(Action.DATASET_CHANGED, "dataset", "dataset", when=lambda: request.args.get("dry_run", "") not in ("true", "1"))
def change_definition(path: DatasetPath, query: ChangeQuery, body: DefinitionBody) -> Response:
    """A column can be added, a type widened, a rule added, changed or made a warning. Anything else is refused with the reason.

    ``dry_run`` changes nothing, and says what the rules mean for the records that are loaded.
    """
    before = definitions.current(path.dataset)
    version = _version_in(request.headers.get("If-Match", ""))
    name, files = _given(body, before)
    if name != path.dataset:
        raise Problem("invalid_parameter", f"The definition is of {name}, and the address of {path.dataset}.")
    return as_json(definitions.change(name, files, version, dry_run=query.dry_run))


def _version_in(header: str) -> int:
    """Return the version in an If-Match header. Raises Problem without one."""
    if not header.strip():
        raise Problem("version_required")
    text = header.strip().removeprefix("W/").strip('"')
    if not text.isdecimal():
        raise Problem("other_version", f'If-Match is a version such as "1", not {header!r}.')
    return int(text)


@datasets_api.delete(
    "/<name:dataset>",
    summary="Drop a dataset",
    responses={200: DropAnswer},
    problems=("not_confirmed", "imports_at_work", "cannot_change"),
    example=Example({"dataset": "products"}, {"confirm": "products"}),
)
@for_role(Role.ADMIN)
@recorded_as(Action.DATASET_CHANGED, "dataset", "dataset")
def drop_dataset(path: DatasetPath, query: DropQuery) -> Response:
    """With its table and all records. A dump of both stays in the bucket for BULKHEAD_KEEP_DROPPED."""
    return as_json(definitions.drop(path.dataset, query.confirm))
