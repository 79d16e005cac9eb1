"""The API of actions on an import: cancel, pause, resume, promote, retry."""

from __future__ import annotations

from flask import Response, request

from pipeline.ledger.api_keys import Role
from pipeline.ledger.audit_log import Action
from web.api.blueprint import ApiBlueprint, Example
from web.api.imports import BODIES, UPLOAD_HEADERS, UPLOAD_PROBLEMS, UPLOAD_RESPONSE_HEADERS, accepted
from web.api.openapi_examples import CSV
from web.http.audit_log import recorded_as
from web.http.auth import for_role
from web.http.responses import as_json
from web.models.common import ImportPath
from web.models.imports import ImportModel, RetryQuery
from web.services.import_actions import cancel, patch_version_in, pause, promote, retry, retry_with_patch
from web.services.imports import find, shown

api = ApiBlueprint("control", "/v1/imports/<name:import_id>", "imports")


# --- cancel ---


@api.post(
    "/cancel",
    summary="Cancel an import",
    responses={202: ImportModel},
    problems=("already_finished",),
)
@for_role(Role.UPLOADER)
@recorded_as(Action.CANCEL)
def cancel_import(path: ImportPath) -> Response:
    """A waiting import is canceled at once; a running one stops cleanly soon. The request cannot be undone."""
    return as_json(shown(cancel(find(path.import_id))), 202)


# --- pause and resume ---


@api.post(
    "/pause",
    summary="Pause an import",
    responses={202: ImportModel},
    problems=("already_finished", "conflict"),
)
@for_role(Role.UPLOADER)
@recorded_as(Action.PAUSE)
def pause_import(path: ImportPath) -> Response:
    """Parts that are being loaded are finished, and no further one starts. Later imports of the dataset wait for this one."""
    return as_json(shown(pause(find(path.import_id), wanted=True)), 202)


@api.post(
    "/resume",
    summary="Resume a paused import",
    responses={202: ImportModel},
    problems=("already_finished", "conflict"),
)
@for_role(Role.UPLOADER)
@recorded_as(Action.RESUME)
def resume_import(path: ImportPath) -> Response:
    """Continue with the next part."""
    return as_json(shown(pause(find(path.import_id), wanted=False)), 202)


# --- promote ---


@api.post(
    "/promote",
    summary="Load a validated dry run",
    responses={202: ImportModel},
    problems=("wrong_state",),
)
@for_role(Role.UPLOADER)
@recorded_as(Action.APPROVAL)
def promote_import(path: ImportPath) -> Response:
    """The checked file is queued behind the other imports of its dataset, validated again, and imported."""
    return as_json(shown(promote(find(path.import_id))), 202)


# --- retry ---


@api.post(
    "/retry",
    summary="Retry the failed records",
    responses={202: ImportModel},
    openapi_extensions=BODIES,
    problems=(
        *(*UPLOAD_PROBLEMS, "not_finished", "nothing_to_retry", "no_results", "no_longer_kept"),
        *("patch_conflict", "file_changed", "not_editable", "too_many_edits"),
    ),
    headers=UPLOAD_RESPONSE_HEADERS,
    takes_headers=UPLOAD_HEADERS,
    example=Example(query={"filename": "mended.csv"}, body=CSV),
)
@for_role(Role.UPLOADER)
@recorded_as(Action.RETRY)
def retry_import(path: ImportPath, query: RetryQuery) -> Response:
    """Create an import of only the failed records: unchanged, or corrected in the file of the body.

    The body is the file of failed records from ``results``, corrected. Its additional columns are ignored. With ``patch``, a
    version of the edits, the whole file is imported again with them; mapping and options stay.
    """
    version = query.patch or patch_version_in(request)
    one = find(path.import_id)
    return accepted(retry_with_patch(one, version, request) if version else retry(one, query.only, request))
