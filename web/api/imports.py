"""The API of imports: upload, list, get."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from flask import Response, request

from pipeline.ledger.api_keys import Role
from pipeline.ledger.audit_log import Action
from pipeline.receive.upload import Receipt
from web.api.blueprint import ApiBlueprint, Example
from web.api.openapi_examples import CSV
from web.app_context import app_context
from web.http.audit_log import recorded_as
from web.http.auth import for_role, key_in_use
from web.http.cursors import page_of
from web.http.responses import as_json
from web.models.common import DatasetPath, ImportPath
from web.models.imports import ImportModel, ImportPage, ImportsQuery
from web.models.uploads import UploadQuery
from web.services import key_scope
from web.services.corrected_files import as_retry
from web.services.imports import find, shown
from web.services.uploads import dataset_for, idempotency_key, receive, upload_in, upload_slot

BODIES = {
    "requestBody": {
        "required": True,
        "description": "The file: alone as the body, or as the one file of a form.",
        "content": {
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
            "text/csv": {"schema": {"type": "string", "format": "binary"}},
            "application/json": {"schema": {}},
            "multipart/form-data": {
                "schema": {"type": "object", "properties": {"file": {"type": "string", "format": "binary"}}}
            },
        },
    }
}

UPLOAD_PROBLEMS = (
    *("not_a_form", "no_file", "two_files", "empty_file", "broken_upload", "damaged_upload"),
    *("upload_in_flight", "canceled_meanwhile", "idempotency_mismatch", "too_large", "busy"),
)
UPLOAD_RESPONSE_HEADERS = ("Location", "Idempotent-Replayed")
UPLOAD_HEADERS: tuple[dict[str, Any], ...] = (
    {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "Idempotency key: a request repeated with the same key returns the import that the first one created",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255},
        "example": '"8e03978e-40d5-43e8-bc93-6894a57f9324"',
    },
    {
        "name": "Content-Digest",
        "in": "header",
        "description": "SHA-256 of the body (RFC 9530); a body that does not match is rejected",
        "schema": {"type": "string"},
    },
)

api = ApiBlueprint("imports", "/v1", "imports")


@api.post(
    "/datasets/<name:dataset>/imports",
    summary="Upload a file",
    responses={202: ImportModel},
    openapi_extensions=BODIES,
    problems=(*UPLOAD_PROBLEMS, "no_table", "unknown_import", "not_finished"),
    headers=UPLOAD_RESPONSE_HEADERS,
    takes_headers=UPLOAD_HEADERS,
    example=Example(query={"filename": "places.csv", "on_error": "quarantine", "max_errors": 10}, body=CSV),
)
@for_role(Role.UPLOADER)
@recorded_as(Action.UPLOAD, "dataset", "dataset")
def upload(path: DatasetPath, query: UploadQuery) -> Response:
    """Stream the file to S3 and queue its import. Idempotency-Key and Content-Digest are honoured.

    A corrected file names the import that it corrects (``retry_of``); a file of results is known by its name, too.
    """
    dataset_for(path.dataset, query.options)
    with upload_slot(app_context()):
        brought = upload_in(request, app_context().settings.max_upload_bytes, query.options)
        options, retry_of = as_retry(path.dataset, brought.filename, query.options, query.retry_of)
        brought, key = replace(brought, options=options), key_in_use()
        once = idempotency_key(request, brought, key)
        receipt = receive(app_context(), brought, dataset=path.dataset, key=key, idempotency_key=once, retry_of=retry_of)
    return accepted(receipt)


def accepted(receipt: Receipt) -> Response:
    """Return the answer to an upload: its import, where to find it, and whether an earlier request made it."""
    answer = shown(receipt.made)
    response = as_json(answer, 202)
    response.headers["Location"] = answer["links"]["self"]
    if receipt.replayed:
        response.headers["Idempotent-Replayed"] = "true"
    return response


@api.get(
    "/imports",
    summary="List imports, newest first",
    responses={200: ImportPage},
    problems=("unknown_import",),
    example=Example(query={"dataset": "places", "state": "rejected", "limit": 50}),
)
@for_role(Role.READER)
def list_imports(query: ImportsQuery) -> Response:
    """Return a page of imports. The cursor is opaque: send next_cursor unchanged."""
    if query.cursor is not None:
        find(query.cursor)
    found = key_scope.imports(
        dataset=query.dataset,
        state=query.state,
        since=query.since,
        until=query.until,
        named=query.text,
        by=query.by,
        with_errors=query.with_errors,
        before=query.cursor,
        limit=query.limit + 1,
    )
    items, next_cursor = page_of(found, query.limit, lambda one: one.id)
    return as_json({"items": [shown(one) for one in items], "next_cursor": next_cursor})


@api.get(
    "/imports/<name:import_id>",
    summary="Get an import",
    responses={200: ImportModel},
    headers=("Retry-After",),
)
@for_role(Role.READER)
def get_import(path: ImportPath) -> Response:
    """Counts are updated while it loads. Until the state is final, Retry-After says when to ask again."""
    one = find(path.import_id)
    response = as_json(shown(one))
    if not one.state.is_final:
        response.headers["Retry-After"] = "1"
    return response
