"""The API before an upload: a template to fill in, a preview of a file, and the mapping of its columns.

A file is read in the sandbox, as an import would read it, and nothing of it is kept.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask import Response, request

from pipeline import option_texts
from pipeline.contracts.options import DETECTED, ReadOptions
from pipeline.datasets import template
from pipeline.datasets.dataset import Dataset
from pipeline.display import counted, dialect_text
from pipeline.errors import Crashed, InvalidRequest, RejectedFile
from pipeline.ledger.api_keys import Role
from pipeline.ledger.mappings import Remembered
from pipeline.option_texts import option_text
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
"""How much of a body is read: enough of a text or a compressed one; a workbook, a Parquet file and a ZIP are read whole."""

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

    ``becomes`` is the column that an import would read it as (null: the file would be rejected). ``suggested`` is the mapping
    last used for a file with this header, or the most similar column.
    """
    dataset = key_scope.dataset(path.dataset)
    seen, options = _seen(dataset, query)
    names = [column.name for column in seen.columns]
    remembered = app_context().ledger.mappings.get(dataset.name, names)
    mapping = remembered.mapping if remembered else None
    columns = [_shown(column.name, column.becomes, column.meant, mapping) for column in seen.columns]
    shown = {name: value for name, value in vars(seen).items() if name != "columns"}
    told = {
        "text": _text(seen),
        "options": options.reading_json(),
        "options_remembered": options not in (query.options, DETECTED),
        "remembered": remembered is not None,
    }
    return as_json({**shown, **told, "columns": columns})


@api.put(
    "/mappings",
    summary="Remember the column mapping of a file",
    responses={204: None},
    example=Example(body=MAPPING),
)
@for_role(Role.UPLOADER)
def remember(path: DatasetPath, body: MappingBody) -> Response:
    """Previews of files with the same header suggest it from now on, for every key with access to the dataset."""
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


def _seen(dataset: Dataset, query: PreviewQuery) -> tuple[Preview, ReadOptions]:
    """Return the preview, and how the file was read: as asked, or as the last file with such a name and its columns was.

    Raises Problem if it cannot be read.
    """
    mappings = app_context().ledger.mappings
    label = clean_name(query.filename) if query.filename else ""
    with upload_slot(app_context()), tempfile.TemporaryDirectory(prefix="bulkhead-preview-") as folder:
        source = Path(folder) / "source"
        with source.open("wb") as file:
            file.writelines(body_chunks(request, BYTES_MAX))
        look = partial(_preview, source, dataset, query.whole, label)
        if query.options != DETECTED:
            return look(query.options), query.options
        if options := _options(mappings.of_file(dataset.name, label)):
            with suppress(Problem):
                return look(options), options
        seen = look(DETECTED)
        options = _options(mappings.get(dataset.name, [column.name for column in seen.columns]))
        return (look(options), options) if options else (seen, DETECTED)


def _options(remembered: Remembered | None) -> ReadOptions | None:
    """Return the remembered options of reading, or None if there are none."""
    if not remembered or not remembered.options:
        return None
    return ReadOptions(**option_texts.parsed({name: option_text(value) for name, value in remembered.options.items()}))


def _text(seen: Preview) -> str:
    """Return how the file is read, for people: ``CSV, comma, UTF-8``."""
    first = f", the first of {counted(seen.members, 'file')}" if seen.members > 1 else ""
    return f"{dialect_text(vars(seen))}{first}"


def _preview(source: Path, dataset: Dataset, is_whole: bool, label: str, options: ReadOptions) -> Preview:
    """Read the file in the sandbox. Raises Problem if it cannot be read, or takes too much time or memory."""
    from pipeline.sandbox.preview_file import preview as look  # DuckDB, which the web app has no other use for

    try:
        with _preview_slot():
            return process.run(
                look,
                *(source, dataset, options, is_whole, label),
                memory_bytes=MEMORY_BYTES,
                seconds=SECONDS,
                file_bytes=WRITTEN_BYTES,
                server=process.PREVIEW,
            )
    except RejectedFile as error:
        raise Problem("unreadable_file", f"{error} {error.hint}".strip(), line=error.line) from error
    except Crashed as error:
        raise Problem(
            "unreadable_file", "A preview of this file takes too much time or memory. Upload it to see all its errors."
        ) from error


@contextmanager
def _preview_slot() -> Iterator[None]:
    """Wait for one of the places for previews. Raises Problem if none is free in time."""
    if not app_context().previews.acquire(timeout=WAIT_SECONDS):
        raise Problem("busy", "Too many previews at the same time. Try again in a few seconds.")
    try:
        yield
    finally:
        app_context().previews.release()


def _shown(name: str, becomes: str | None, meant: str, remembered: dict[str, str] | None) -> dict[str, Any]:
    """Return a column with the suggested mapping and its reason."""
    if remembered is not None:
        suggested = remembered.get(name, becomes)
        return {"name": name, "becomes": becomes, "suggested": suggested, "why": "remembered" if name in remembered else ""}
    return {"name": name, "becomes": becomes, "suggested": meant or becomes, "why": "similar" if meant else ""}
