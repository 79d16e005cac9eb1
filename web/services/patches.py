"""Change the patch of an import: edits of cells, rows left out, roots. Two users never overwrite each other's edits.

A change names the version that it was made to. If that is not the last one any more nothing is changed, and the problem says
what the other user has changed since.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from pipeline.adapters.s3 import NotThere
from pipeline.contracts.object_keys import Kept
from pipeline.contracts.states import State
from pipeline.display import counted
from pipeline.ledger.models import ImportRecord
from pipeline.ledger.patches import VersionTaken
from pipeline.receive.patches import SKIPPED, Cell, Edit, Patch, TooManyEdits
from web.app_context import app_context
from web.http import audit_log
from web.http.auth import key_in_use
from web.http.problems import Problem
from web.services.imports import check_kept
from web.services.patch_edits import CONFLICTS_SHOWN, Changes, Editor

ANY_VERSION = -1
"""Change the patch whatever its version is: ``If-Match: *``."""


@dataclass(frozen=True)
class Changed:
    """A patch after a change, and how many cells and rows the change was about."""

    patch: Patch
    changed: int = 0


def current_patch(one: ImportRecord) -> Patch:
    """Return the edits of an import's file; version 0 if there are none."""
    return app_context().patches.current(one.id)


def change_patch(one: ImportRecord, version: int, changes: Changes) -> Changed:
    """Make ``changes`` to ``version`` of an import's patch, or none of them; return the next version.

    Raises Problem: patch_conflict if there is a later version, other_value if a finding quotes another value than the user's,
    invalid_parameter for a row or a column that the file does not have.
    """
    check_editable(one)
    editor = Editor.of(one)
    now = current_patch(one)
    if version not in (now.version, ANY_VERSION):
        raise _conflict(editor, now, version, editor.cells_of(changes))
    wanted = editor.edits_of(changes, now.version + 1)
    edits = {**now.edits, **{edit.cell: edit for edit in wanted}}
    undone = [cell for cell in editor.undone(changes) if edits.pop(cell, None)]
    if not wanted and not undone:
        return Changed(now)
    return Changed(_save(one, replace(now, edits=edits), editor, changes), len({edit.cell for edit in wanted}) + len(undone))


def discard_patch(one: ImportRecord, version: int) -> Changed:
    """Take back all edits of ``version`` of an import's patch, which makes another version. Raises Problem as change_patch."""
    editor, now = Editor.of(one), current_patch(one)
    if version not in (now.version, ANY_VERSION):
        raise _conflict(editor, now, version, set(now.edits))
    if not now.edits:
        return Changed(now)
    return Changed(_save(one, replace(now, edits={}), editor, Changes()), len(now.edits))


def check_editable(one: ImportRecord) -> None:
    """Raise Problem unless the cells of an import's file can be edited: it has ended, was read, and is kept."""
    if not one.state.is_final:
        raise Problem("not_finished", f"The import is {one.state}. Its file can be corrected when it has ended.")
    if one.state in (State.DUPLICATE, State.EXPIRED) or not one.reading.get("columns"):
        raise Problem("not_editable", "The file was not read, so it has no cells to edit. Upload a corrected file as a retry.")
    check_kept(one, Kept.SOURCE)


def shown_edits(one: ImportRecord, patch: Patch, edits: Iterable[Edit]) -> list[dict[str, Any]]:
    """Return edits as the API shows them, with masks for values that this key may not see."""
    editor = Editor.of(one)
    return [editor.shown(patch, edit) for edit in edits]


def page_of_edits(
    patch: Patch, *, after: Cell | None = None, first_row: int | None = None, last_row: int | None = None, limit: int
) -> list[Edit]:
    """Return a page of edits in the order of their rows and columns: those after the cell ``after`` (keyset pagination)."""
    cells = sorted(patch.edits)
    begin = bisect.bisect_left(cells, (first_row or 0, ""))
    if after is not None:
        begin = max(begin, bisect.bisect_right(cells, after))
    end = len(cells) if last_row is None else bisect.bisect_left(cells, (last_row + 1, ""))
    return [patch.edits[cell] for cell in cells[begin:end][:limit]]


def edits_of_rows(patch: Patch, rows: Iterable[int]) -> dict[int, list[Edit]]:
    """Return the edits of these rows, for a page of findings."""
    found: dict[int, list[Edit]] = {row: [] for row in rows}
    for (row, _), edit in sorted(patch.edits.items()):
        if row in found:
            found[row].append(edit)
    return found


def _save(one: ImportRecord, patch: Patch, editor: Editor, changes: Changes) -> Patch:
    """Store the next version. Raises Problem if another change was faster."""
    key = key_in_use()
    following = replace(patch, version=patch.version + 1, sha256=one.sha256, names={**patch.names, key.id: key.name})
    edits, skipped, _ = following.counts
    said = {"version": str(following.version), "edits": str(edits), "skipped_rows": str(skipped)}
    try:
        app_context().patches.save(following, by=key.id, also=audit_log.entry(**said))
    except VersionTaken as error:
        cells = editor.cells_of(changes) if changes != Changes() else set(patch.edits)
        raise _conflict(editor, current_patch(one), patch.version, cells) from error
    except TooManyEdits as error:
        raise Problem("too_many_edits", str(error)) from error
    return following


def _conflict(editor: Editor, now: Patch, version: int, wanted: set[Cell]) -> Problem:
    """Return the problem of a change to a version that is not the last one; it says what was changed since, and who did it."""
    try:
        earlier = app_context().patches.version(now.import_id, version) or Patch(now.import_id)
    except NotThere:
        earlier = Patch(now.import_id)
    changed = now.changed_since(earlier)
    both = [cell for cell in changed if cell in wanted or (cell[0], SKIPPED) in wanted]
    detail = (
        f"The edits are at version {now.version} by now, not {version}: {counted(len(changed), 'edit')} changed meanwhile,"
        f" {len(both):,} of them in cells of this request. Nothing was changed. Look at them, and send what you still want to"
        f" version {now.version}."
    )
    told = {
        "version": now.version,
        "changed": [*editor.told(now, changed[:CONFLICTS_SHOWN])],
        "conflicts": [*editor.told(now, both[:CONFLICTS_SHOWN])],
        "changed_total": len(changed),
        "conflicts_total": len(both),
    }
    return Problem("patch_conflict", detail, headers={"ETag": f'"{now.version}"'}, **told)
