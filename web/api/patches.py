"""The API of patches: edits of a file's cells, which a retry applies to the untouched file."""

from __future__ import annotations

import base64
import json
from typing import Any

from flask import Response, request

from pipeline.ledger.api_keys import Role
from pipeline.ledger.audit_log import Action
from pipeline.receive.patches import Cell, Edit, EditKind
from web.api.blueprint import ApiBlueprint, Example
from web.api.openapi_examples import PATCH_ASKED
from web.http.audit_log import recorded_as
from web.http.auth import for_role
from web.http.cursors import page_of
from web.http.problems import Problem
from web.http.responses import as_json
from web.models.common import ImportPath
from web.models.patches import LikeGiven, PatchBody, PatchModel, PatchPage, PatchQuery
from web.services.imports import find
from web.services.patch_edits import CellChange, Changes, Like
from web.services.patches import (
    ANY_VERSION,
    Changed,
    change_patch,
    current_patch,
    discard_patch,
    page_of_edits,
    shown_edits,
)

BODY_BYTES_MAX = 16 << 20
"""Enough for 10,000 edits of long values."""

IF_MATCH: tuple[dict[str, Any], ...] = (
    {
        "name": "If-Match",
        "in": "header",
        "required": True,
        "description": 'The version that is changed: the ETag of the patch, "0" if there is none yet; * for whichever it is',
        "schema": {"type": "string"},
        "example": '"0"',
    },
)
_CHANGE_PROBLEMS = ("precondition_required", "patch_conflict", "no_longer_kept")

api = ApiBlueprint("patches", "/v1/imports/<name:import_id>/patch", "imports")


@api.before_request
def _allow_many_edits() -> None:
    request.max_content_length = BODY_BYTES_MAX


@api.get(
    "",
    summary="List the edits of a file",
    responses={200: PatchPage},
    example=Example(query={"limit": 100}),
)
@for_role(Role.READER)
def get_patch(path: ImportPath, query: PatchQuery) -> Response:
    """Edits in the order of rows and columns. The ETag is the version, which a change sends as If-Match."""
    one = find(path.import_id)
    patch = current_patch(one)
    found = page_of_edits(
        patch,
        after=_cell_of(query.cursor),
        first_row=query.first_row,
        last_row=query.last_row,
        limit=query.limit + 1,
    )
    edits, next_cursor = page_of(found, query.limit, _cursor_of)
    counts = _counts(Changed(patch))
    counts.pop("changed")
    response = as_json({**counts, "items": shown_edits(one, patch, edits), "next_cursor": next_cursor})
    return _with_version(response, patch.version)


@api.patch(
    "",
    summary="Edit cells of a file, leave rows out, make roots",
    responses={200: PatchModel},
    problems=(*_CHANGE_PROBLEMS, "other_value", "too_many_edits", "not_finished", "not_editable"),
    headers=("ETag",),
    takes_headers=IF_MATCH,
    example=Example(body=PATCH_ASKED),
)
@for_role(Role.UPLOADER)
@recorded_as(Action.PATCH_CHANGED)
def edit(path: ImportPath, body: PatchBody) -> Response:
    """Make all changes of the body, or none. The file itself stays as it is: POST retry with the version imports it again.

    ``like`` does one thing to every row that has the same finding. If the version is not the last one any more, the answer is
    412 with what was changed since; nothing is lost.
    """
    changes = Changes(
        edits=[CellChange(one.row, one.column, one.new, one.old) for one in body.edits],
        undo=[(one.row, one.column) for one in body.undo],
        skip_rows=body.skip_rows,
        unskip_rows=body.unskip_rows,
        roots=body.roots,
        like=_like(body.like) if body.like else None,
    )
    return _changed(change_patch(find(path.import_id), _version_given(), changes))


@api.delete(
    "",
    summary="Discard all edits of a file",
    responses={200: PatchModel},
    problems=_CHANGE_PROBLEMS,
    headers=("ETag",),
    takes_headers=IF_MATCH,
)
@for_role(Role.UPLOADER)
@recorded_as(Action.PATCH_CHANGED)
def discard(path: ImportPath) -> Response:
    """Make another version without edits. Imports that were made with earlier versions are not changed."""
    return _changed(discard_patch(find(path.import_id), _version_given()))


def _like(given: LikeGiven) -> Like:
    kind = EditKind.SKIP if given.skip else EditKind.ROOT if given.root else EditKind.EDIT
    return Like(given.code, given.column, given.value, kind, given.new)


def _version_given() -> int:
    """Return the version in If-Match. Raises Problem if there is none."""
    given = request.headers.get("If-Match", "").strip()
    if given == "*":
        return ANY_VERSION
    number = given.removeprefix("W/").strip('"')
    if not given:
        raise Problem("precondition_required")
    if not number.isascii() or not number.isdigit() or len(number) > 9:
        raise Problem("bad_request", f'If-Match has the version of the edits, such as "3", not {given[:60]!r}.')
    return int(number)


def _changed(changed: Changed) -> Response:
    return _with_version(as_json(_counts(changed)), changed.patch.version)


def _counts(changed: Changed) -> dict[str, Any]:
    edits, skipped, roots = changed.patch.counts
    return {
        "import_id": changed.patch.import_id,
        "version": changed.patch.version,
        "edits": edits,
        "skipped_rows": skipped,
        "roots": roots,
        "changed": changed.changed,
    }


def _with_version(response: Response, version: int) -> Response:
    """Return the response with the version as its ETag, or 304 if the client has that version."""
    response.set_etag(str(version))
    response.headers["Cache-Control"] = "private, no-cache"
    if request.method == "GET":
        response.make_conditional(request)
    return response


def _cursor_of(one: Edit) -> str:
    return base64.urlsafe_b64encode(json.dumps(one.cell).encode()).decode("ascii").rstrip("=")


def _cell_of(cursor: str | None) -> Cell | None:
    if cursor is None:
        return None
    try:
        row, column = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        return int(row), str(column)
    except (ValueError, TypeError) as error:
        raise Problem("bad_request", "Invalid cursor. Send the next_cursor of the page before, unchanged.") from error
