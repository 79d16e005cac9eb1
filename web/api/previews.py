"""What helps before an upload: a template to fill in, a look at a file's beginning, and the mapping of its columns.

A file is read in the sandbox, as an import would read it, and nothing of it is kept.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask import Response, request

from pipeline.contracts.options import DELIMITER_NAMES
from pipeline.datasets import template
from pipeline.datasets.dataset import Dataset
from pipeline.errors import Crashed, InvalidRequest, RejectedFile
from pipeline.ledger.api_keys import Role
from pipeline.receive.upload import clean_name
from pipeline.sandbox import process
from web.api.blueprint import ApiBlueprint, Example
from web.api.openapi_examples import CSV, MAPPING
from web.app_context import app_context
from web.http.auth import for_role, key_in_use
from web.http.problems import Problem
from web.http.responses import CONTENT_TYPES, as_download, as_json
from web.models.common import DatasetPath
from web.models.uploads import MappingBody, PreviewAnswer, PreviewQuery, TemplateQuery
from web.services import key_scope
from web.services.uploads import body_chunks, upload_slot

if TYPE_CHECKING:
    from pipeline.sandbox.preview_file import Preview

BYTES_MAX = 8 << 20
"""Of a text or a compressed one, the first of these are enough; a workbook, a Parquet file and a ZIP are read whole."""

MEMORY_BYTES = 1 << 30
SECONDS = 20.0
WAIT_SECONDS = 5.0
WRITTEN_BYTES = 512 << 20

api = ApiBlueprint("previews", "/v1/datasets/<name:dataset>", "before an upload")
BODY = {
    "requestBody": {
        "required": True,
        "description": "The file, or its first bytes.",
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}


@api.get(
    "/template",
    summary="A file to fill in",
    files=("csv", "xlsx"),
    example=Example(query={"format": "csv"}),
)
@for_role(Role.READER)
def get_template(path: DatasetPath, query: TemplateQuery) -> Response:
    """The header of the dataset's columns, and one row that shows what their types look like."""
    file = template.FORMS[query.format](key_scope.dataset(path.dataset))
    return as_download([file], f"{path.dataset}.{query.format}", CONTENT_TYPES[query.format], len(file))


@api.post(
    "/preview",
    summary="Look at a file before it is uploaded",
    responses={200: PreviewAnswer},
    openapi_extensions=BODY,
    problems=("unreadable_file", "busy", "broken_upload", "empty_file"),
    example=Example(query={"whole": True}, body=CSV),
)
@for_role(Role.UPLOADER)
def preview(path: DatasetPath, query: PreviewQuery) -> Response:
    """How it is written, its first rows, and what its columns would become. Nothing is kept.

    ``becomes`` is what the reader makes of a column by itself (null: the file would be refused for it), ``suggested`` what was
    made of it last in a file with this header, or what it probably means.
    """
    dataset = key_scope.dataset(path.dataset)
    seen = _looked_at(dataset, query)
    names = [column.name for column in seen.columns]
    remembered = app_context().ledger.mappings.get(dataset.name, names)
    columns = [_shown(column.name, column.becomes, column.meant, remembered) for column in seen.columns]
    shown = {name: value for name, value in vars(seen).items() if name != "columns"}
    return as_json({**shown, "remembered": remembered is not None, "columns": columns})


@api.put(
    "/mappings",
    summary="Remember what the columns of a file are",
    responses={204: None},
    example=Example(body=MAPPING),
)
@for_role(Role.UPLOADER)
def remember(path: DatasetPath, body: MappingBody) -> Response:
    """For the next file of the dataset with the same header, whoever uploads it: previews suggest it, uploads ask for it."""
    dataset = key_scope.dataset(path.dataset)
    try:
        dataset.check_mapping(body.mapping)
    except InvalidRequest as error:
        raise Problem("invalid_parameter", f"mapping: {error}") from error
    app_context().ledger.mappings.keep(dataset.name, body.columns, body.mapping, by=key_in_use().id)
    return Response(status=204)


def _looked_at(dataset: Dataset, query: PreviewQuery) -> Preview:
    """Raises Problem for what cannot be read, or takes too much."""
    from pipeline.sandbox.preview_file import preview as look  # DuckDB, which the web app has no other use for

    try:
        with upload_slot(app_context()), tempfile.TemporaryDirectory(prefix="bulkhead-preview-") as folder:
            delimiter = query.delimiter and DELIMITER_NAMES.get(query.delimiter, query.delimiter)
            source, label = Path(folder) / "source", clean_name(query.filename) if query.filename else ""
            with source.open("wb") as file:
                file.writelines(body_chunks(request, BYTES_MAX))
            with _its_turn():
                return process.run(
                    look,
                    *(source, dataset, delimiter, query.whole, label),
                    memory_bytes=MEMORY_BYTES,
                    seconds=SECONDS,
                    file_bytes=WRITTEN_BYTES,
                    server=process.PREVIEW,
                )
    except RejectedFile as error:
        raise Problem("unreadable_file", f"{error} {error.hint}".strip(), line=error.line) from error
    except Crashed as error:
        raise Problem("unreadable_file", "To look at the file would take too much time or memory.") from error


@contextmanager
def _its_turn() -> Iterator[None]:
    """Few files are read at once; the others wait a little. Raises Problem."""
    if not app_context().previews.acquire(timeout=WAIT_SECONDS):
        raise Problem("busy", "As many previews as this server makes at once are being made. Try again in a few seconds.")
    try:
        yield
    finally:
        app_context().previews.release()


def _shown(name: str, becomes: str | None, meant: str, remembered: dict[str, str] | None) -> dict[str, Any]:
    """A column, with what should be made of it and why."""
    if remembered is not None:
        suggested = remembered.get(name, becomes)
        return {"name": name, "becomes": becomes, "suggested": suggested, "why": "remembered" if name in remembered else ""}
    return {"name": name, "becomes": becomes, "suggested": meant or becomes, "why": "similar" if meant else ""}
