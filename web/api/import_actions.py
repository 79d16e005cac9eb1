"""The API of what may be asked of an import that is there: cancel, pause, resume, promote, retry."""

from __future__ import annotations

from flask import Response, request

from pipeline.ledger.api_keys import Role
from web.api.blueprint import ApiBlueprint, Example
from web.api.imports import BODIES, UPLOAD_HEADERS, UPLOAD_PROBLEMS, UPLOAD_RESPONSE_HEADERS
from web.api.openapi_examples import CSV
from web.http.auth import for_role
from web.http.responses import as_json
from web.models.common import ImportPath
from web.models.imports import ImportModel, RetryQuery
from web.services.import_actions import cancel, pause, promote, retry
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
def cancel_import(path: ImportPath) -> Response:
    """An import that still waits is canceled at once; one at work comes to a clean stop soon. The request is kept."""
    return as_json(shown(cancel(find(path.import_id))), 202)


# --- pause and resume ---


@api.post(
    "/pause",
    summary="Pause an import",
    responses={202: ImportModel},
    problems=("already_finished", "conflict"),
)
@for_role(Role.UPLOADER)
def pause_import(path: ImportPath) -> Response:
    """The parts under way are loaded, and no further one is begun. Its dataset's queue waits for it: nothing overtakes it."""
    return as_json(shown(pause(find(path.import_id), wanted=True)), 202)


@api.post(
    "/resume",
    summary="Resume a paused import",
    responses={202: ImportModel},
    problems=("already_finished", "conflict"),
)
@for_role(Role.UPLOADER)
def resume_import(path: ImportPath) -> Response:
    """It goes on where it stood."""
    return as_json(shown(pause(find(path.import_id), wanted=False)), 202)


# --- promote ---


@api.post(
    "/promote",
    summary="Load a validated dry run",
    responses={202: ImportModel},
    problems=("wrong_state",),
)
@for_role(Role.UPLOADER)
def promote_import(path: ImportPath) -> Response:
    """The very bytes that were validated go to the end of the dataset's queue, are validated once more, and loaded."""
    return as_json(shown(promote(find(path.import_id))), 202)


# --- retry ---


@api.post(
    "/retry",
    summary="Try the failed records again",
    responses={202: ImportModel},
    openapi_extensions=BODIES,
    problems=(*UPLOAD_PROBLEMS, "not_finished", "nothing_to_retry", "no_results", "no_longer_kept"),
    headers=UPLOAD_RESPONSE_HEADERS,
    takes_headers=UPLOAD_HEADERS,
    example=Example(query={"filename": "mended.csv"}, body=CSV),
)
@for_role(Role.UPLOADER)
def retry_import(path: ImportPath, query: RetryQuery) -> Response:
    """A new import of the failed records only: as they are, or as the body has them, corrected.

    The body is the file of failed records that ``results`` gives, mended: the columns that it adds are left out again.
    """
    one = find(path.import_id)
    receipt = retry(one, query.only, request)
    response = as_json(shown(receipt.made), 202)
    response.headers["Location"] = shown(receipt.made)["links"]["self"]
    if receipt.replayed:
        response.headers["Idempotent-Replayed"] = "true"
    return response
