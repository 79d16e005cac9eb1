"""The API before an upload: a template to fill in, a preview of a file, and the mapping of its columns.

A file is read in the sandbox, as an import would read it, and nothing of it is kept.
"""

from __future__ import annotations

from flask import Response

from pipeline import option_texts
from pipeline.contracts.options import ReadOptions
from pipeline.datasets import template
from pipeline.errors import InvalidRequest
from pipeline.ledger.api_keys import Role
from pipeline.ledger.audit_log import Action
from pipeline.option_texts import option_text
from pipeline.receive.upload import clean_name
from web.api.blueprint import ApiBlueprint, Example
from web.api.openapi_examples import CSV, MAPPING
from web.app_context import app_context
from web.http import audit_log
from web.http.audit_log import recorded_as
from web.http.auth import for_role, key_in_use
from web.http.problems import Problem
from web.http.responses import CONTENT_TYPES, as_download, as_json
from web.models.common import DatasetPath
from web.models.previews import AnyPreviewQuery, PreviewAnswer, PreviewQuery
from web.models.uploads import MappingBody, TemplateQuery
from web.services import key_scope, previews

api = ApiBlueprint("previews", "/v1/datasets/<name:dataset>", "before an upload")
anywhere = ApiBlueprint("any_previews", "/v1", "before an upload")
BODY = {
    "requestBody": {
        "required": True,
        "description": "The file, or its first bytes.",
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}


@api.get(
    "/template",
    summary="Download a template",
    files=("csv", "xlsx"),
    example=Example(query={"format": "csv"}),
)
@for_role(Role.READER)
def get_template(path: DatasetPath, query: TemplateQuery) -> Response:
    """A file with the dataset's columns as its header, and one row with an example of each type."""
    file = template.FORMS[query.format](key_scope.dataset(path.dataset))
    return as_download([file], f"{path.dataset}.{query.format}", CONTENT_TYPES[query.format], len(file))


@api.post(
    "/preview",
    summary="Preview a file before uploading it",
    responses={200: PreviewAnswer},
    openapi_extensions=BODY,
    problems=("unreadable_file", "busy", "broken_upload", "empty_file"),
    example=Example(query={"whole": True}, body=CSV),
)
@for_role(Role.UPLOADER)
def preview(path: DatasetPath, query: PreviewQuery) -> Response:
    """Return the file's format, its first rows, and the columns it would be imported as. Nothing is stored.

    ``becomes`` is the column that an import would read it as (null: the file would be rejected). ``suggested`` is what the
    column probably is, with the reason: the mapping last used for a file with this header, its name, or its values.
    """
    return as_json(previews.answer([key_scope.dataset(path.dataset)], query, path.dataset))


@anywhere.post(
    "/preview",
    summary="Preview a file, and find the dataset that it fits",
    responses={200: PreviewAnswer},
    openapi_extensions=BODY,
    problems=("unreadable_file", "busy", "broken_upload", "empty_file", "unknown_dataset"),
    example=Example(query={"whole": True}, body=CSV),
)
@for_role(Role.UPLOADER)
def preview_any(query: AnyPreviewQuery) -> Response:
    """Return the datasets that the file fits, the best one first, and the preview for that one. Nothing is stored.

    Columns are matched by their names, by synonyms in several languages, and by their values. A suggestion becomes a mapping
    only when the upload says so.
    """
    if query.dataset:
        key_scope.dataset(query.dataset)
    return as_json(previews.answer(key_scope.datasets(), query, query.dataset))


@api.put(
    "/mappings",
    summary="Remember the column mapping of a file",
    responses={204: None},
    example=Example(body=MAPPING),
)
@for_role(Role.UPLOADER)
@recorded_as(Action.DATASET_CHANGED, "dataset", "dataset")
def remember(path: DatasetPath, body: MappingBody) -> Response:
    """Previews of files with the same header suggest it from now on, for every key with access to the dataset."""
    audit_log.describe(what="remembered column mapping")
    dataset = key_scope.dataset(path.dataset)
    try:
        dataset.check_mapping(body.mapping)
    except InvalidRequest as error:
        raise Problem("invalid_parameter", f"mapping: {error}") from error
    try:
        options = ReadOptions(**option_texts.parsed({name: option_text(value) for name, value in body.options.items()}))
    except InvalidRequest as error:
        raise Problem("invalid_parameter", f"options: {error}") from error
    app_context().ledger.mappings.keep(
        *(dataset.name, body.columns, body.mapping),
        by=key_in_use().id,
        filename=clean_name(body.filename) if body.filename else "",
        options=options.reading_json(),
    )
    return Response(status=204)
