"""The API of imports: upload, list, watch."""

from __future__ import annotations

from datetime import UTC
from typing import Any

from flask import Response, request
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag

from pipeline.contracts.messages import Kept
from pipeline.ledger.api_keys import Role
from pipeline.ledger.imports import Import
from web.app_context import edges
from web.http.auth import for_role, key_in_use
from web.http.problems import Problem, ProblemModel
from web.http.responses import as_json
from web.models.imports import DatasetPath, ImportModel, ImportPage, ImportPath, ImportsQuery, UploadQuery
from web.services import key_scope
from web.services.uploads import Once, a_place, dataset_for, receive, upload_in

BODIES = {
    "requestBody": {
        "required": True,
        "description": "The file: as the bare body, or as the one file of a form.",
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

api = APIBlueprint(
    "imports",
    __name__,
    url_prefix="/v1",
    abp_tags=[Tag(name="imports", description="One file's run each")],
    abp_security=[{"key": []}],
    abp_responses={"default": ProblemModel},
)


@api.post(
    "/datasets/<name:dataset>/imports",
    summary="Upload a file",
    responses={202: ImportModel},
    openapi_extensions=BODIES,
)
@for_role(Role.UPLOADER)
def upload(path: DatasetPath, query: UploadQuery) -> Response:
    """The file is streamed into S3, and acknowledged. Idempotency-Key and Content-Digest are honoured."""
    dataset_for(path.dataset, query.options)
    with a_place(edges()):
        brought = upload_in(request, edges().settings.max_upload_bytes, query.options)
        once = Once.of(request, brought)
        receipt = receive(edges(), brought, dataset=path.dataset, key=key_in_use(), once=once)
    response = as_json(shown(receipt.made), 202)
    response.headers["Location"] = shown(receipt.made)["links"]["self"]
    if receipt.replayed:
        response.headers["Idempotent-Replayed"] = "true"
    return response


@api.get("/imports", summary="List imports, newest first", responses={200: ImportPage})
@for_role(Role.READER)
def list_imports(query: ImportsQuery) -> Response:
    """A page of imports. The cursor is opaque: send next_cursor as it came."""
    if query.cursor is not None:
        find(query.cursor)
    found = key_scope.imports(dataset=query.dataset, state=query.state, before=query.cursor, limit=query.limit + 1)
    items = found[: query.limit]
    more = len(found) > query.limit
    return as_json({"items": [shown(one) for one in items], "next_cursor": items[-1].id if more else None})


@api.get("/imports/<name:import_id>", summary="One import, as it stands now", responses={200: ImportModel})
@for_role(Role.READER)
def get_import(path: ImportPath) -> Response:
    """Counts are live while it loads. Retry-After says when to ask again, until the state is final."""
    one = find(path.import_id)
    response = as_json(shown(one))
    if not one.state.is_final:
        response.headers["Retry-After"] = "1"
    return response


def find(import_id: str) -> Import:
    """The import of that id. Raises Problem if there is none."""
    found = key_scope.import_of(import_id)
    if found is None:
        raise Problem("unknown_import", f"There is no import {import_id!r}. GET /v1/imports lists those there are.")
    return found


def removal(one: Import, what: Kept) -> str | None:
    """That this is not kept any more, since when, and which setting says so; None if it is kept, or never was there."""
    gone = one.removed_at(what)
    if gone is None:
        return None
    named = {
        Kept.BATCHES: "The batches of this import were",
        Kept.RESULTS: "The failed records and other results of this import were",
        Kept.REPORT: "The findings of this import and their report were",
        Kept.SOURCE: "The uploaded file was",
    }[what]
    when = f"{gone.astimezone(UTC):%-d %b %Y, %H:%M} UTC"
    return f"{named} removed on {when}: how long they are kept after an import's end is set by {what.setting}."


def must_be_kept(one: Import, what: Kept) -> None:
    """Raises Problem if that is not kept any more."""
    if said := removal(one, what):
        raise Problem("no_longer_kept", said, setting=what.setting, removed_at=one.removed.get(what))


def shown(one: Import) -> dict[str, Any]:
    """An import as the API shows it."""
    return one.to_json(request.host_url)
