"""The page of one dataset: its columns and rules in words, its definition; for admins, to change it and to drop it."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from pydantic import ValidationError

from pipeline.display import duration_text
from pipeline.ledger.api_keys import Role
from pipeline.ledger.audit_log import Action
from pipeline.warehouse.existing_edges import with_tables
from web.app_context import app_context
from web.http.audit_log import recorded_as
from web.http.auth import for_role, key_in_use, may_make_datasets
from web.http.problems import PROBLEM_TYPES, Problem, refuse_parameters
from web.models.definitions import DefinitionJson
from web.pages.dataset_texts import column_texts, other_rules
from web.pages.definition_forms import asked_in, definition_in, lines
from web.services import definitions, drafts, key_scope
from web.services.numbers import dataset_numbers

NEW_COLUMNS = 3
"""Lines of the form for columns to add."""

pages = Blueprint("dataset_pages", __name__)


@pages.get("/datasets/<name:dataset>")
@for_role(Role.READER)
def dataset_page(dataset: str) -> ResponseReturnValue:
    """Show a dataset; with ``draft``, the file that it was made from, to be imported next."""
    return _dataset_page(dataset)


@pages.post("/datasets/<name:dataset>/import-draft")
@for_role(Role.UPLOADER)
@recorded_as(Action.UPLOAD)
def import_draft(dataset: str) -> ResponseReturnValue:
    """Import the file that the dataset was made from, and go to the import's page."""
    known = key_scope.dataset(dataset)
    draft = drafts.find(request.form.get("draft", ""))
    made = drafts.import_draft(draft, known.name, drafts.options_for(draft, known.name))
    return redirect(url_for("pages.import_page", import_id=made.id), 303)


@pages.get("/datasets/<name:dataset>/change")
@for_role(Role.ADMIN)
def change_page(dataset: str) -> ResponseReturnValue:
    """Show the form that changes a dataset's definition."""
    return _change_page(_changeable(dataset))


@pages.post("/datasets/<name:dataset>/change")
@for_role(Role.ADMIN)
def preview_change(dataset: str) -> ResponseReturnValue:
    """Show what a change means for the loaded records; or, on the way back from that, the form again. Nothing is changed."""
    now = _changeable(dataset)
    if "definition" in request.form:
        return _change_page(now, asked=_sent().model_dump())
    version = _version()
    try:
        wanted = definition_in(request.form, now["definition"])
        meant = _changed(now["name"], wanted, version, dry_run=True)
    except Problem as problem:
        asked = asked_in(request.form, now["definition"])
        return _change_page(now, asked=asked, said=problem.detail), PROBLEM_TYPES[problem.code].status
    return render_template(
        "dataset_change_preview.html",
        dataset=key_scope.dataset(dataset),
        meant=meant,
        version=version,
        definition=json.dumps(wanted.model_dump(), ensure_ascii=False),
    )


@pages.post("/datasets/<name:dataset>/change/apply")
@for_role(Role.ADMIN)
@recorded_as(Action.DATASET_CHANGED, "dataset", "dataset")
def apply_change(dataset: str) -> ResponseReturnValue:
    """Change the definition and the table, and return to the dataset's page."""
    now, wanted = _changeable(dataset), _sent()
    try:
        _changed(now["name"], wanted, _version(), dry_run=False)
    except Problem as problem:
        return _change_page(now, asked=wanted.model_dump(), said=problem.detail), PROBLEM_TYPES[problem.code].status
    return redirect(url_for("dataset_pages.dataset_page", dataset=now["name"]), 303)


@pages.post("/datasets/<name:dataset>/drop")
@for_role(Role.ADMIN)
@recorded_as(Action.DATASET_CHANGED, "dataset", "dataset")
def drop(dataset: str) -> ResponseReturnValue:
    """Drop a dataset whose name was entered once more, and go to the list of those that are left."""
    known = key_scope.dataset(dataset)
    try:
        definitions.drop(known.name, request.form.get("confirm", "").strip())
    except Problem as problem:
        return _dataset_page(dataset, said=problem.detail), PROBLEM_TYPES[problem.code].status
    return redirect(url_for("record_pages.datasets_page"), 303)


def _changed(name: str, wanted: DefinitionJson, version: int, *, dry_run: bool) -> dict[str, Any]:
    """Change a definition, or say what that means. Raises Problem."""
    _, files = definitions.given_files(None, wanted.model_dump(), None, definitions.current(name))
    return definitions.change(name, files, version, dry_run=dry_run)


def _dataset_page(name: str, said: str = "") -> str:
    known, is_admin = key_scope.dataset(name), may_make_datasets()
    now = definitions.shown(known.name) if is_admin else None
    draft_id = request.args.get("draft", "")
    draft = drafts.known(draft_id) if draft_id and key_in_use().role.covers(Role.UPLOADER) else None
    kept = app_context().settings.keep_dropped
    return render_template(
        "dataset.html",
        dataset=known,
        columns=column_texts(known),
        other_rules=other_rules(known),
        version=known.definition_version,
        versions=_versions(now["versions"]) if now else [],
        files=now["files"] if now else None,
        numbers=dataset_numbers(known),
        has_table=known.name in with_tables(app_context().engine, [known.name]),
        draft=draft,
        records=_number(request.args.get("records", "")) if draft else None,
        may_upload=key_in_use().role.covers(Role.UPLOADER),
        may_change=is_admin and known.definition_version is not None,
        query=f"select *\nfrom {_quoted(known.name)}\nlimit 100",
        api=f"/v1/datasets/{known.name}/definition",
        kept=duration_text(kept.total_seconds()) if kept else "",
        said=said,
    )


def _versions(versions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the versions with the names of the keys that made them; a person who signed in has no key."""
    names = {key.id: key.name for key in app_context().keys.list()}
    return [
        {**one, "by": names.get(one["created_by"], ""), "at": datetime.fromisoformat(one["created_at"])} for one in versions
    ]


def _change_page(now: dict[str, Any], *, asked: dict[str, Any] | None = None, said: str = "") -> str:
    definition = asked or now["definition"]
    names = {column["name"] for column in now["definition"]["columns"]}
    shown = lines(definition, [])
    return render_template(
        "dataset_change.html",
        dataset=key_scope.dataset(now["name"]),
        version=now["version"],
        definition=definition,
        lines=[one for one in shown if one["name"] in names],
        added=[one for one in shown if one["name"] not in names] + [dict(_EMPTY) for _ in range(NEW_COLUMNS)],
        said=said,
    )


_EMPTY = lines({"columns": [{"name": "", "type": "text"}]}, [])[0]


def _changeable(name: str) -> dict[str, Any]:
    """Return the definition of a dataset that can be changed here. Raises UnknownDataset or Problem."""
    return definitions.shown(definitions.current(name).name)


def _sent() -> DefinitionJson:
    """Return the definition that the page before this one has checked. Raises Problem."""
    try:
        return DefinitionJson.model_validate_json(request.form.get("definition", ""))
    except ValidationError as error:
        refuse_parameters(error)


def _version() -> int:
    """Return the version that the form was made of. Raises Problem if the form has none."""
    version = _number(request.form.get("version", ""))
    if version is None:
        raise Problem("bad_request", "The form is incomplete. Open the page again.")
    return version


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else None


def _quoted(name: str) -> str:
    return f"warehouse.{name}"
