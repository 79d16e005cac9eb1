"""The pages before an import: the file first, then what it is read as, then Import.

With scripts the page shows the answer of ``look`` below each chosen file. Without them the file is sent once, as a draft, and
the same panel is a page of its own with plain forms.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, Response, g, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from pydantic import ValidationError

from pipeline.contracts.options import Options
from pipeline.ledger.api_keys import Role
from pipeline.ledger.audit_log import Action
from pipeline.receive.drafts import Draft
from pipeline.warehouse.existing_edges import with_tables
from web.app_context import app_context
from web.http import audit_log
from web.http.audit_log import recorded_as
from web.http.auth import CSRF_FIELD, check_csrf, checks_csrf_itself, for_role, key_in_use
from web.http.problems import PROBLEM_TYPES, Problem, refuse_parameters
from web.http.request_body import Form
from web.http.responses import as_json
from web.models.previews import PreviewQuery
from web.models.uploads import UploadQuery
from web.pages import upload_choices, upload_panel
from web.pages.upload_choices import Choices
from web.services import drafts, key_scope, previews
from web.services.corrected_files import as_retry
from web.services.uploads import Upload, body_chunks, dataset_for, receive, upload_slot

RECENT_SHOWN = 5

pages = Blueprint("upload_pages", __name__)


@pages.get("/")
@for_role(Role.READER)
def upload_page() -> ResponseReturnValue:
    """Show the upload form, and below it the latest imports."""
    g.connects_to = app_context().store.public_origin
    datasets = key_scope.datasets()
    there = with_tables(app_context().engine, [one.name for one in datasets])
    asked = request.args.get("dataset", "")
    return render_template(
        "upload.html",
        datasets=datasets,
        without_table=[one.name for one in datasets if one.name not in there],
        recent=key_scope.imports(limit=RECENT_SHOWN),
        chosen=asked if asked in there else "",
        may_upload=key_in_use().role.covers(Role.UPLOADER),
        new_dataset=upload_panel.new_dataset_page(),
    )


@pages.post("/upload")
@for_role(Role.UPLOADER)
@recorded_as(Action.UPLOAD)
@checks_csrf_itself
def upload() -> ResponseReturnValue:
    """Import a file from a form. Token, dataset and options come before the file, so the file is streamed, not buffered."""
    with upload_slot(app_context()):
        form = _form()
        filename, chunks = form.file_or_pasted()
        given = _options(form.fields)
        dataset = dataset_for(form.fields.get("dataset", ""), given)
        options, retry_of = as_retry(dataset, filename, given, form.fields.get("retry_of"))
        brought = Upload(filename, chunks, options)
        receipt = receive(app_context(), brought, dataset=dataset, key=key_in_use(), retry_of=retry_of)
    return redirect(url_for("pages.import_page", import_id=receipt.made.id), 303)


@pages.post("/upload/look")
@for_role(Role.UPLOADER)
def look() -> Response:
    """Return what the file in the body is read as: as a panel for the upload page, and as data for its script."""
    chosen = upload_choices.of_fields(request.args)
    is_whole = request.args.get("whole") == "true"
    filename = request.args.get("filename", "")
    panel = upload_panel.of(_seen(chosen, filename, is_whole=is_whole), chosen, filename)
    return as_json({"html": render_template("upload_panel.html", panel=panel), **upload_panel.data(panel)})


# --- without scripts: the file is sent once, looked at, and imported ---


@pages.post("/upload/drafts")
@for_role(Role.UPLOADER)
@recorded_as(Action.UPLOAD, "draft", "draft_id")
@checks_csrf_itself
def keep_draft() -> ResponseReturnValue:
    """Keep the file, or the pasted rows, of a form for a look at them. Options may come after the file."""
    with upload_slot(app_context()):
        form = _form()
        draft = drafts.keep(*form.file_or_pasted())
    audit_log.about("draft", draft.id)
    chosen = upload_choices.of_fields(form.fields)
    address = url_for("upload_pages.draft_page", draft_id=draft.id)
    return redirect(f"{address}?{urlencode(chosen.as_query)}" if chosen.as_query else address, 303)


@pages.get("/upload/drafts/<name:draft_id>")
@for_role(Role.UPLOADER)
def draft_page(draft_id: str) -> ResponseReturnValue:
    """Show what a kept file is read as, with the options in the address."""
    return _draft_page(drafts.find(draft_id), upload_choices.of_fields(request.args))


@pages.post("/upload/drafts/<name:draft_id>")
@for_role(Role.UPLOADER)
@recorded_as(Action.UPLOAD, when=lambda: request.form.get("do") == "import")
def use_draft(draft_id: str) -> ResponseReturnValue:
    """Read a kept file again with other options, or import it."""
    draft = drafts.find(draft_id)
    chosen = upload_choices.of_form(request.form)
    if request.form.get("do") != "import":
        return _draft_page(draft, chosen)
    options = _options(chosen.upload)
    made = drafts.import_draft(draft, chosen.dataset, options)
    return redirect(url_for("pages.import_page", import_id=made.id), 303)


def _draft_page(draft: Draft, chosen: Choices) -> ResponseReturnValue:
    """Render a kept file; what is wrong with how it is to be read is said on the page, where it can be changed."""
    problem, panel, status = "", None, 200
    try:
        panel = upload_panel.of(_seen_of_draft(draft, chosen), chosen, draft.filename, draft.id)
    except Problem as error:
        problem, status = error.detail, PROBLEM_TYPES[error.code].status
    page = render_template(
        "upload_draft.html",
        draft=draft,
        chosen=chosen,
        given=panel.given if panel else chosen.options,
        panel=panel,
        problem=problem,
        datasets=[one.name for one in key_scope.datasets()],
    )
    return page, status


def _seen_of_draft(draft: Draft, chosen: Choices) -> dict[str, Any]:
    """Return the preview of a kept file, of which at most the first bytes are read. Raises Problem."""
    chunks, stored = app_context().store.stream(draft.key)
    is_whole = stored.size_bytes <= previews.BYTES_MAX
    return _seen(chosen, draft.filename, is_whole=is_whole, chunks=_first_bytes(chunks, previews.BYTES_MAX))


def _first_bytes(chunks: Iterator[bytes], bytes_max: int) -> Iterator[bytes]:
    left = bytes_max
    for chunk in chunks:
        yield chunk[:left]
        left -= len(chunk)
        if left <= 0:
            return


def _seen(chosen: Choices, filename: str, *, is_whole: bool, chunks: Iterator[bytes] | None = None) -> dict[str, Any]:
    """Return the preview of the request's body, or of ``chunks``. Raises Problem if it cannot be read."""
    asked = {**chosen.reading, "whole": is_whole, **({"filename": filename} if filename else {})}
    if settled := chosen.settled:
        asked["mapping"] = json.dumps(settled)
    try:
        query = PreviewQuery.model_validate(asked)
    except ValidationError as error:
        refuse_parameters(error)
    if chosen.dataset:
        key_scope.dataset(chosen.dataset)
    return previews.answer(key_scope.datasets(), query, chosen.dataset or None, chunks)


def _form() -> Form:
    """Return the form of the request, up to its file, once its token is checked."""
    form = Form(body_chunks(request, app_context().settings.max_upload_bytes), request.mimetype_params.get("boundary", ""))
    check_csrf(form.fields.get(CSRF_FIELD))
    return form


def _options(fields: Mapping[str, str]) -> Options:
    """Return the options in the fields; an empty field is no option. Raises Problem."""
    given = {name: fields[name] for name in UploadQuery.model_fields if fields.get(name) and name != "filename"}
    try:
        return UploadQuery.model_validate(given).options
    except ValidationError as error:
        refuse_parameters(error)
