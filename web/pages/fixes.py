"""The form that corrects an import: cells and rows on its page of findings.

One form has all fields of a page of findings, and a button for each act; whichever is pressed, what was typed is saved with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flask import Blueprint, flash, redirect, request, url_for
from flask.typing import ResponseReturnValue

from pipeline.display import counted
from pipeline.ledger.api_keys import Role
from pipeline.ledger.audit_log import Action
from pipeline.ledger.models import ImportRecord
from pipeline.receive.patches import EditKind, Patch
from web.http.audit_log import recorded_as
from web.http.auth import for_role
from web.http.problems import Problem
from web.pages.cell_editors import Act, Typed, act_in, bad_place, column_names, suggestion_in, typed_in
from web.pages.findings import of_import_page, show_findings
from web.services.import_actions import retry_with_patch
from web.services.imports import find
from web.services.patch_edits import CellChange, Changes, Like
from web.services.patches import change_patch, current_patch, discard_patch
from web.services.reports import of_import

TRIES = 5
"""How often a change is made again, to the version that another person has just made."""

CONFLICT = "patch_conflict"
ALIKE = {"alike-set": EditKind.EDIT, "alike-skip": EditKind.SKIP, "alike-root": EditKind.ROOT}

pages = Blueprint("fix_pages", __name__)


class Held(Exception):
    """A change that is not made, since another person changed the same meanwhile, or since something is missing.

    ``unsaved``: what was typed, by row and place; the page shows it again.
    """

    def __init__(self, said: str, unsaved: Mapping[tuple[int, int], str] | None = None) -> None:
        super().__init__(said)
        self.said = said
        self.unsaved = dict(unsaved or {})


@pages.post("/imports/<name:import_id>/findings")
@for_role(Role.UPLOADER)
@recorded_as(Action.PATCH_CHANGED)
def correct(import_id: str) -> ResponseReturnValue:
    """Save what was typed, do what the pressed button says, and return to the page of findings, or import the file again.

    Answers 409, with both values, if another person changed one of these cells meanwhile.
    """
    one, act, typed = find(import_id), act_in(request.form), typed_in(request.form)
    try:
        said = _apply_to_alike(one, act, typed) if act.name in ALIKE else ""
        version = _save(one, act, typed)
    except Held as held:
        return show_findings(of_import_page(one, held.unsaved, held.said)), 409
    if act.name == "again":
        return redirect(url_for("fix_pages.import_again", import_id=one.id, version=version), 307)
    flash(said or _SAID.get(act.name, "Saved." if typed else ""))
    asked: dict[str, Any] = {name: value for name in ("code", "q", "after") if (value := request.args.get(name))}
    return redirect(url_for("finding_pages.findings_page", import_id=one.id, **asked, _anchor=_anchor(one, act)), 303)


@pages.post("/imports/<name:import_id>/again")
@for_role(Role.UPLOADER)
@recorded_as(Action.RETRY)
def import_again(import_id: str) -> ResponseReturnValue:
    """Import the file of an import again, with the corrections of a version, and go to the new import's page."""
    one, version = find(import_id), request.args.get("version", 0, int)
    return redirect(url_for("pages.import_page", import_id=retry_with_patch(one, version).made.id), 303)


@pages.post("/imports/<name:import_id>/discard")
@for_role(Role.UPLOADER)
@recorded_as(Action.PATCH_CHANGED)
def discard(import_id: str) -> ResponseReturnValue:
    """Discard all corrections of an import, unless another person made some since the page was shown."""
    one = find(import_id)
    try:
        discard_patch(one, request.form.get("version", 0, int))
        flash("All corrections were discarded.")
    except Problem as problem:
        if problem.code != CONFLICT:
            raise
        flash("Nothing was discarded: another person changed something meanwhile. Look at it, then discard again.")
    return redirect(url_for("finding_pages.findings_page", import_id=one.id), 303)


_SAID = {
    "use": "Saved.",
    "skip": "The row will be skipped.",
    "unskip": "The row will not be skipped.",
    "root": "The record will be a root.",
    "unroot": "The record will keep its parent.",
    "undo": "The edit was undone.",
}


# --- one cell or row ---


def _save(one: ImportRecord, act: Act, typed: Sequence[Typed]) -> int:
    """Save what was typed and do what the button says; return the version that has it. Raises Held or Problem."""
    if act.name == "use":
        typed = [*(cell for cell in typed if _is_other(cell, _cell_of(one, act.first))), _suggested(one, act.first)]
    elif act.name == "undo":
        typed = [cell for cell in typed if _is_other(cell, (act.first, act.second))]
    for _ in range(TRIES):
        patch = current_patch(one)
        free = [cell for cell in typed if _is_free(one, patch, cell)]
        changes = _changes(one, patch, act, free)
        try:
            version = change_patch(one, patch.version, changes).patch.version if changes != Changes() else patch.version
        except Problem as problem:
            if problem.code != CONFLICT:
                raise
            continue
        held = {(cell.row, cell.place): cell.new for cell in typed if cell not in free}
        if held:
            raise Held(f"Not saved: {counted(len(held), 'cell was', 'cells were')} changed by another person meanwhile.", held)
        return version
    raise Held("Not saved: other people are changing this just now. Try again.", _unsaved(typed))


def _changes(one: ImportRecord, patch: Patch, act: Act, typed: Sequence[Typed]) -> Changes:
    """Return what the typed cells and the button change in a patch. Raises Held."""
    names, row = column_names(one.reading), act.first
    edits = [CellChange(cell.row, _name(names, cell.place), cell.new) for cell in typed]
    if act.name == "undo":
        column = _name(names, act.second)
        edit = patch.edits.get((row, column))
        if edit is not None and str(edit.version) != request.form.get(f"stamp.{row}.{act.second}", ""):
            raise Held("Not undone: another person changed this cell meanwhile.", _unsaved(typed))
        return Changes(edits, undo=[(row, column)])
    if act.name == "unroot":
        return Changes(
            edits, undo=[edit.cell for edit in patch.edits.values() if edit.row == row and edit.kind is EditKind.ROOT]
        )
    return Changes(
        edits,
        skip_rows=[row] if act.name == "skip" else [],
        unskip_rows=[row] if act.name == "unskip" else [],
        roots=[row] if act.name == "root" else [],
    )


def _is_free(one: ImportRecord, patch: Patch, cell: Typed) -> bool:
    """Return whether a cell still has the edit that the page showed, or already has what was typed."""
    edit = patch.edits.get((cell.row, _name(column_names(one.reading), cell.place)))
    return cell.stamp == (str(edit.version) if edit and edit.kind is EditKind.EDIT else "") or (
        edit is not None and (edit.new or "") == cell.new
    )


def _is_other(cell: Typed, than: tuple[int, int | None]) -> bool:
    return (cell.row, cell.place) != than


def _unsaved(typed: Sequence[Typed]) -> dict[tuple[int, int], str]:
    return {(cell.row, cell.place): cell.new for cell in typed}


def _name(names: Sequence[str], place: int) -> str:
    """Return the name of the column at a place. Raises Problem if the file has none there."""
    if not 0 <= place < len(names):
        raise Problem("bad_request", "The file has no such column. Reload the page of findings.")
    return names[place]


# --- the finding of a button ---


def _finding(one: ImportRecord, number: int) -> dict[str, Any]:
    """Return a finding as this key may see it. Raises Problem."""
    found = of_import(one).page(after=number - 1, limit=1) if number > 0 else []
    if not found or found[0]["finding_no"] != number:
        raise Problem("bad_request", f"This import has no finding {number}. Reload the page of findings.")
    return found[0]


def _cell_of(one: ImportRecord, number: int) -> tuple[int, int | None]:
    finding = _finding(one, number)
    return finding["row"], bad_place(finding, one.reading)


def _suggested(one: ImportRecord, number: int) -> Typed:
    """Return the value that a finding suggests, as if it was typed. Raises Problem if it suggests none."""
    finding = _finding(one, number)
    place, meant = bad_place(finding, one.reading), suggestion_in(finding["hint"])
    if place is None or meant is None:
        raise Problem("bad_request", "This finding suggests no value. Type the right one.")
    return Typed(finding["row"], place, meant, request.form.get(f"stamp.{finding['row']}.{place}", ""))


# --- all findings that are alike ---


def _apply_to_alike(one: ImportRecord, act: Act, typed: Sequence[Typed]) -> str:
    """Do the same to all findings like one; return what to say of it. Raises Held if another person changed one of them."""
    finding, kind = _finding(one, act.first), ALIKE[act.name]
    new = _value_for_all(one, finding, typed) if kind is EditKind.EDIT else None
    like = Like(finding["code"], finding["column"], finding["value"], kind, new)
    version = request.form.get("version", 0, int)
    for _ in range(TRIES):
        try:
            done = change_patch(one, version, Changes(like=like))
        except Problem as problem:
            if problem.code != CONFLICT:
                raise
            if both := problem.more["conflicts_total"]:
                changed = counted(both, "of them was", "of them were")
                said = f"Not applied: {changed} changed by another person meanwhile. Look at them, then apply it again."
                raise Held(said, _unsaved(typed)) from problem
            version = problem.more["version"]
        else:
            rows = counted(done.changed, "row")
            return {
                EditKind.SKIP: f"{rows} will be skipped.",
                EditKind.ROOT: f"{counted(done.changed, 'record')} will be roots.",
            }.get(kind, f"Applied to {rows}.")
    raise Held("Not applied: other people are changing this just now. Try again.", _unsaved(typed))


def _value_for_all(one: ImportRecord, finding: Mapping[str, Any], typed: Sequence[Typed]) -> str:
    """Return the value to write into all cells alike: the one that was typed, else that of the edit, else the suggestion.

    Raises Held if there is none.
    """
    place = bad_place(finding, one.reading)
    if place is None:
        raise Problem("bad_request", "This finding is not of a cell. Reload the page of findings.")
    mine = next((cell.new for cell in typed if (cell.row, cell.place) == (finding["row"], place)), None)
    if mine is not None:
        return mine
    edit = current_patch(one).edits.get((finding["row"], _name(column_names(one.reading), place)))
    if edit is not None and edit.kind is EditKind.EDIT:
        return edit.new or ""
    if (meant := suggestion_in(finding["hint"])) is not None:
        return meant
    raise Held("Type the right value into the cell first. Then apply it to all like this.", _unsaved(typed))


def _anchor(one: ImportRecord, act: Act) -> str | None:
    """Return the place of the page that a button is at."""
    if act.first < 0:
        return None
    return f"finding-{act.first}" if act.name in ("use", *ALIKE) else f"row-{act.first}"
