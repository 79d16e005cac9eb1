"""The pages of a new dataset, for admins: give a file, change what was read from it, create the dataset."""

from __future__ import annotations

import json
from typing import Any

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from pipeline.display import duration_text
from pipeline.ledger.api_keys import Role
from pipeline.ledger.audit_log import Action
from pipeline.receive.drafts import Draft
from web.app_context import app_context
from web.http.audit_log import recorded_as
from web.http.auth import CSRF_FIELD, check_csrf, checks_csrf_itself, for_role
from web.http.problems import PROBLEM_TYPES, Problem
from web.http.request_body import Form
from web.models.definitions import DefinitionJson
from web.pages.definition_forms import asked_in, definition_in, headers, lines, unused, without
from web.services import definitions, drafts
from web.services.uploads import body_chunks, upload_slot

PASTED = "pasted.tsv"

pages = Blueprint("new_dataset_pages", __name__)


@pages.get("/datasets/new")
@for_role(Role.ADMIN)
def new_dataset() -> ResponseReturnValue:
    """Show a form for a file or, with ``draft``, the dataset that its file suggests."""
    draft_id = request.args.get("draft", "")
    if not draft_id:
        return _file_page()
    draft = drafts.find(draft_id)
    try:
        return _columns_page(draft, _proposed(draft, None))
    except Problem as problem:
        return _file_page(said=f"{draft.filename}: {problem.detail}"), PROBLEM_TYPES[problem.code].status


@pages.post("/datasets/new")
@for_role(Role.ADMIN)
@checks_csrf_itself
def keep_file() -> ResponseReturnValue:
    """Keep the file of the form, or the text that was pasted into it, and show what it suggests."""
    with upload_slot(app_context()):
        form = Form(body_chunks(request, app_context().settings.max_upload_bytes), request.mimetype_params.get("boundary", ""))
        check_csrf(form.fields.get(CSRF_FIELD))
        pasted = form.fields.get("pasted", "")
        try:
            if form.filename or not pasted.strip():
                draft = drafts.keep(form.filename, form.file_chunks())
            else:
                draft = drafts.keep(PASTED, iter([pasted.encode()]))
        except Problem as problem:
            if problem.code != "empty_file":
                raise
            said = "The file is empty." if form.filename else "Choose a file, or paste cells with their header row."
            return _file_page(said=said), PROBLEM_TYPES[problem.code].status
    return redirect(url_for("new_dataset_pages.new_dataset", draft=draft.id), 303)


@pages.post("/datasets/new/check")
@for_role(Role.ADMIN)
def check() -> ResponseReturnValue:
    """Show the form again, with what its choices would refuse in the file."""
    draft = drafts.find(request.form.get("draft", ""))
    try:
        definition = definition_in(request.form)
        return _columns_page(draft, _proposed(draft, definition), asked=definition.model_dump())
    except Problem as problem:
        return _again(draft, problem)


@pages.post("/datasets/new/create")
@for_role(Role.ADMIN)
@recorded_as(Action.DATASET_CHANGED, "dataset", "dataset")
def create() -> ResponseReturnValue:
    """Create the dataset and go to its page, where the same file can be imported."""
    draft = drafts.find(request.form.get("draft", ""))
    try:
        definition = definition_in(request.form)
        name, files = definitions.given_files(None, definition.model_dump(), None, None)
        definitions.create(name, files)
    except Problem as problem:
        return _again(draft, problem)
    drafts.leave_out(draft, name, headers(request.form), without(request.form))
    return redirect(
        url_for("dataset_pages.dataset_page", dataset=name, draft=draft.id, records=request.form.get("records")), 303
    )


def _proposed(draft: Draft, definition: DefinitionJson | None) -> dict[str, Any]:
    with drafts.as_file(draft) as path:
        if definition is None:
            return definitions.propose(path, "", draft.filename)
        return definitions.propose(path, definition.name, draft.filename, definition.model_dump(), without(request.form))


def _file_page(**more: Any) -> str:
    kept = app_context().settings.keep_drafts
    return render_template("new_dataset.html", kept=duration_text(kept.total_seconds()) if kept else "good", **more)


def _again(draft: Draft, problem: Problem) -> ResponseReturnValue:
    """Show the form as it was sent, with what is wrong."""
    asked, said = asked_in(request.form), problem.detail
    if problem.code == "dataset_exists" and "Choose another name." not in said:
        said = f"{said} Choose another name."
    return _columns_page(draft, _proposed(draft, None), asked=asked, said=said), PROBLEM_TYPES[problem.code].status


def _columns_page(draft: Draft, proposal: dict[str, Any], *, asked: dict[str, Any] | None = None, said: str = "") -> str:
    definition = asked or proposal["definition"]
    return render_template(
        "new_dataset_columns.html",
        draft=draft,
        proposal=proposal,
        definition=definition,
        lines=lines(definition, proposal["columns"], unused(request.form)),
        shape=request.form.get("shape", _text(definition["shape"])),
        clean=request.form.get("clean", _text(definition["clean"])),
        said=said,
    )


def _text(said: dict[str, Any]) -> str:
    return json.dumps(said, ensure_ascii=False) if said else ""
