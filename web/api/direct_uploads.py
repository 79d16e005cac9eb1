"""The API of uploads straight to S3 by presigned URLs: Bulkhead makes the key and signs each part, S3 receives the bytes.

The routes are those of Uppy's companion for S3 (https://uppy.io/docs/aws-s3/), so that its client works unchanged. An import is
opened with the upload. Only the key that opened it may continue it, or one with the role admin. Parts are signed late, one by
one, so that an upload that takes days, or was interrupted, continues with what S3 has.
"""

from __future__ import annotations

from typing import Any

import structlog
from flask import Response, request
from pydantic import ValidationError

from pipeline.adapters.s3 import NotThere, NotWhole, Part
from pipeline.contracts.object_keys import import_id_in
from pipeline.contracts.options import Options
from pipeline.contracts.states import State
from pipeline.ledger.api_keys import Role
from pipeline.ledger.audit_log import Action
from pipeline.ledger.models import ImportRecord
from pipeline.receive.presigned_uploads import PresignedUploads
from pipeline.receive.upload_metadata import UploadRequest, metadata_of, request_of
from web.api.blueprint import ApiBlueprint, Example
from web.api.openapi_examples import PARTS_GIVEN, UPLOAD_ASKED, UPLOAD_KEY
from web.app_context import app_context
from web.http import audit_log
from web.http.audit_log import recorded_as
from web.http.auth import changes_state, for_role, key_in_use
from web.http.problems import Problem, refuse_parameters
from web.http.responses import as_json
from web.models.common import Nothing
from web.models.uploads import (
    FormQuery,
    FormUpload,
    OpenedUpload,
    PartPath,
    PartsGiven,
    PartsQuery,
    SignedPart,
    SignedParts,
    StoredParts,
    UploadAsked,
    UploadKey,
    UploadPath,
    WholeUpload,
    options_of_form,
)
from web.services import key_scope
from web.services.corrected_files import as_retry
from web.services.imports import shown
from web.services.uploads import dataset_for

log = structlog.get_logger(__name__)

SIGNED_SECONDS = 3600
"""How long a presigned URL or form is valid; a client asks for another URL if a part takes longer."""

FORM_SECONDS = SIGNED_SECONDS + 900
"""How long an import awaits the file of its form at least: a file that is sent at the last moment takes a while."""

_UPLOAD_ENDED = ("upload_over", "canceled_meanwhile")
_KEY = {"key": UPLOAD_KEY}

api = ApiBlueprint("multipart", "/s3", "direct uploads")


@api.post(
    "/multipart",
    summary="Open an upload",
    responses={200: OpenedUpload},
    problems=("unknown_dataset", "no_table"),
    example=Example(body=UPLOAD_ASKED),
)
@for_role(Role.UPLOADER)
def open_upload(body: UploadAsked) -> Response:
    """``metadata`` names the dataset, and may hold what an upload may ask for (dry_run, on_error, ...)."""
    try:
        options = body.options
    except ValidationError as error:
        refuse_parameters(error)
    _check_size(body.size_bytes)
    dataset_for(body.dataset, options)
    one, upload_id = _uploads().open_multipart(body.dataset, _asked(body.dataset, body.filename, options, body.retry_of))
    return as_json({"key": one.key, "uploadId": upload_id, **_links(one)})


@api.get(
    "/multipart/<name:upload_id>",
    summary="The parts that S3 has",
    responses={200: StoredParts},
    problems=_UPLOAD_ENDED,
    example=Example(query=_KEY),
)
@for_role(Role.UPLOADER)
def list_parts(path: UploadPath, query: UploadKey) -> Response:
    """Where an upload that was broken off goes on."""
    one = _of(query.key)
    return as_json([_shown_part(part) for part in _parts(one, path.upload_id)])


@api.get(
    "/multipart/<name:upload_id>/batch",
    summary="Sign several parts",
    responses={200: SignedParts},
    problems=_UPLOAD_ENDED,
    example=Example(query={**_KEY, "partNumbers": "1,2"}),
)
@for_role(Role.UPLOADER)
def sign_parts(path: UploadPath, query: PartsQuery) -> Response:
    """Addresses to which parts can be PUT."""
    one = _of(query.key)
    return as_json({"presignedUrls": {str(number): _signed(one, path.upload_id, number) for number in query.numbers}})


@api.get(
    "/multipart/<name:upload_id>/<int:part_number>",
    summary="Sign a part",
    responses={200: SignedPart},
    problems=_UPLOAD_ENDED,
    example=Example(query=_KEY),
)
@for_role(Role.UPLOADER)
def sign_part(path: PartPath, query: UploadKey) -> Response:
    """The address to which a part can be PUT: between 5 MiB and 5 GiB of it, but for the last one."""
    return as_json({"url": _signed(_of(query.key), path.upload_id, path.part_number), "expires": SIGNED_SECONDS})


@api.post(
    "/multipart/<name:upload_id>/complete",
    summary="Make the file of its parts",
    responses={200: WholeUpload},
    problems=(*_UPLOAD_ENDED, "wrong_parts", "too_large", "empty_file"),
    example=Example(query=_KEY, body=PARTS_GIVEN),
)
@for_role(Role.UPLOADER)
@recorded_as(Action.UPLOAD, "")
def complete(path: UploadPath, query: UploadKey, body: PartsGiven) -> Response:
    """From here on it is an import like any other. Said once more, the answer is the same."""
    one = _of(query.key, completed=True)
    audit_log.about("import", one.id)
    audit_log.describe(dataset=one.dataset, way="multipart")
    if one.state is State.AWAITING_UPLOAD:
        _make_whole(one, path.upload_id, [(part.number, part.etag.strip('"')) for part in body.parts])
    return as_json({"location": shown(one)["links"]["self"], **_links(one)})


@api.delete(
    "/multipart/<name:upload_id>",
    summary="Give an upload up",
    responses={200: Nothing},
    problems=_UPLOAD_ENDED,
    example=Example(query=_KEY),
)
@for_role(Role.UPLOADER)
def abort(path: UploadPath, query: UploadKey) -> Response:
    """Nothing of it stays, neither in S3 nor in the list of imports."""
    one = _of(query.key)
    _uploads().give_up(one, path.upload_id)
    return as_json({})


@api.get(
    "/params",
    summary="Sign a form for a small file",
    responses={200: FormUpload},
    problems=("unknown_dataset", "no_table"),
    example=Example(query={"filename": "places.csv", "dataset": "places"}),
)
@for_role(Role.UPLOADER)
@recorded_as(Action.UPLOAD, "")
@changes_state
def sign_form(query: FormQuery) -> Response:
    """A form that S3 takes with one file of at most 5 GB; S3 itself sees to its size. The import begins by S3's own event.

    Uppy asks with a GET. With a session's cookie it takes the CSRF token in ``X-CSRF-Token``, or a browser that says that the
    request comes from the same origin."""
    try:
        options = options_of_form(request.args)
    except ValidationError as error:
        refuse_parameters(error)
    kept = app_context().settings.keep_uploads
    awaited = None if kept is None else max(kept.total_seconds(), FORM_SECONDS)
    dataset = dataset_for(query.dataset or request.args.get("metadata[dataset]", ""), options)
    asked = _asked(dataset, query.filename, options, request.args.get("metadata[retry_of]"))
    one = _uploads().open(dataset, asked, upload_seconds=awaited)
    audit_log.about("import", one.id)
    audit_log.describe(dataset=dataset, way="form")
    most = min(app_context().settings.max_upload_bytes, 5 << 30)
    url, fields = app_context().store.sign_form(
        one.key, bytes_max=most, seconds=SIGNED_SECONDS, metadata=metadata_of(one.id, request_of(one))
    )
    return as_json({"method": "POST", "url": url, "fields": fields, "headers": {}, "expires": SIGNED_SECONDS, **_links(one)})


# --- what they share ---


def _uploads() -> PresignedUploads:
    return PresignedUploads(app_context().store, app_context().ledger)


def _asked(dataset: str, filename: str, given: Options, retried: str | None) -> UploadRequest:
    options, retry_of = as_retry(dataset, filename, given, retried)
    return UploadRequest(options, filename, key_in_use().id, retry_of)


def _of(key: str, *, completed: bool = False) -> ImportRecord:
    """Return the import of an upload if the key in use may continue it and it still awaits its file, or is ``completed``.

    Raises Problem, the same for an upload of another key as for none.
    """
    import_id = import_id_in(key)
    one = key_scope.import_of(import_id) if import_id else None
    asking = key_in_use()
    if one is None or one.key != key or not (one.created_by == asking.id or asking.role.covers(Role.ADMIN)):
        raise Problem("unknown_upload", f"There is no upload to {key!r} of this key's.")
    if one.state is State.CANCELED:
        raise Problem("canceled_meanwhile")
    if one.state is State.EXPIRED or (one.state is not State.AWAITING_UPLOAD and not completed):
        raise Problem("upload_over", f"The upload is over: its import is {one.state}.")
    return one


def _parts(one: ImportRecord, upload_id: str) -> list[Part]:
    try:
        return list(app_context().store.parts(one.key, upload_id))
    except NotThere as error:
        raise Problem("unknown_upload", f"S3 knows no upload {upload_id!r} to {one.key!r}.") from error


def _signed(one: ImportRecord, upload_id: str, number: int) -> str:
    return app_context().store.sign_part(one.key, upload_id, number, seconds=SIGNED_SECONDS)


def _make_whole(one: ImportRecord, upload_id: str, wanted: list[tuple[int, str]]) -> None:
    """Have S3 make the object, unless a request whose answer was lost has done so, and queue the import. Raises Problem."""
    stored = app_context().store.head(one.key)
    if stored is None:
        _complete(one, upload_id, wanted)
        stored = app_context().store.head(one.key)
    if stored is None:  # it was removed at the same time
        raise Problem("unknown_upload")
    try:
        _uploads().confirm(one, stored, audit_log.entry())
    except LookupError as error:  # it was given up at the same time
        raise Problem("unknown_upload") from error
    log.info("uploaded", import_id=one.id, dataset=one.dataset, size_bytes=stored.size_bytes, key_id=key_in_use().id)


def _complete(one: ImportRecord, upload_id: str, wanted: list[tuple[int, str]]) -> None:
    """Have S3 make the object of its parts. Raises Problem if it is empty, too large, or S3 has other parts.

    An upload that is too large is given up; the others can be corrected.
    """
    there = {part.number: part for part in _parts(one, upload_id)}
    wrong = [number for number, etag in wanted if number not in there or there[number].etag != etag]
    if wrong or not wanted:
        raise Problem(
            "wrong_parts", f"S3 does not have these parts as they were named: {', '.join(map(str, wrong)) or 'none'}."
        )
    size = sum(there[number].size_bytes for number, _ in wanted)
    try:
        _check_size(size)
    except Problem:
        _uploads().give_up(one, upload_id)
        raise
    if not size:
        raise Problem("empty_file")
    try:
        app_context().store.complete(one.key, upload_id, sorted(wanted))
    except NotWhole as error:
        raise Problem("wrong_parts", f"S3 does not make a file of these parts: {error}") from error
    except NotThere as error:
        raise Problem("unknown_upload") from error


def _check_size(size: int) -> None:
    """Raise Problem if a file of that size is too large."""
    most = app_context().settings.max_upload_bytes
    if size > most:
        raise Problem("too_large", f"The file has {size:,} bytes; {most:,} are taken here.")


def _links(one: ImportRecord) -> dict[str, Any]:
    return {"id": one.id, "links": {"self": shown(one)["links"]["self"]}}


def _shown_part(part: Part) -> dict[str, Any]:
    return {"PartNumber": part.number, "Size": part.size_bytes, "ETag": f'"{part.etag}"'}
