"""What HTTP requests bring for an upload: a name, a body, options and an idempotency key; and how a failed upload is answered.

How a file becomes an import is in pipeline/receive/upload.py.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from flask import Request
from werkzeug.http import parse_options_header

from pipeline.contracts.options import Options
from pipeline.errors import BulkheadError, InvalidRequest
from pipeline.ledger.api_keys import ApiKey
from pipeline.ledger.audit_log import Also
from pipeline.notify import targets
from pipeline.receive.idempotency import IdempotencyKey, IdempotencyMismatch, UploadInFlight
from pipeline.receive.upload import CanceledMeanwhile, EmptyFile, Intake, Receipt, UploadOver
from pipeline.receive.upload_metadata import UploadRequest
from pipeline.warehouse.existing_edges import with_tables
from web.app_context import AppContext, app_context
from web.http import audit_log
from web.http.problems import Problem, no_table
from web.http.request_body import Form, chunks_of, content_digest, too_large
from web.http.responses import STALL_SECONDS
from web.services import key_scope

IDEMPOTENCY_KEY_CHARACTERS_MAX = 255

_SUFFIX_OF_TYPE = {
    "text/csv": ".csv",
    "text/tab-separated-values": ".tsv",
    "application/json": ".json",
    "application/x-ndjson": ".ndjson",
    "application/jsonl": ".ndjson",
    "application/vnd.apache.parquet": ".parquet",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": ".xlsx",
    "application/gzip": ".gz",
    "application/zstd": ".zst",
    "application/zip": ".zip",
}


@dataclass(frozen=True)
class Upload:
    """The file in a request: its name, and its bytes as they arrive."""

    filename: str  # as the user named it
    chunks: Iterator[bytes]
    options: Options = field(default_factory=Options)


def body_chunks(request: Request, bytes_max: int) -> Iterator[bytes]:
    """Yield the body of a request, checked against its own headers and our limit. One that is too large is not begun."""
    length = request.content_length
    if length is not None and length > bytes_max:
        raise too_large(bytes_max)
    socket = request.environ.get("gunicorn.socket")
    if socket is not None:
        socket.settimeout(STALL_SECONDS)
    if length is None and not request.environ.get("wsgi.input_terminated"):
        length = 0  # the end of such a body is unknown
    return chunks_of(
        request.environ["wsgi.input"],
        content_length=length,
        bytes_max=bytes_max,
        sha256=content_digest(request.headers.get("Content-Digest")),
    )


def upload_in(request: Request, bytes_max: int, options: Options) -> Upload:
    """Return the file in a request: the one file of a form, or the bare body."""
    chunks = body_chunks(request, bytes_max)
    if request.mimetype == "multipart/form-data":
        form = Form(chunks, request.mimetype_params.get("boundary", ""))
        return Upload(request.args.get("filename") or form.filename, form.file_chunks(), options)
    return Upload(_name_of_body(request), chunks, options)


def _name_of_body(request: Request) -> str:
    _, disposition = parse_options_header(request.headers.get("Content-Disposition"))
    name = request.args.get("filename") or disposition.get("filename") or request.headers.get("X-Filename")
    return name or "upload" + _SUFFIX_OF_TYPE.get(request.mimetype, "")


def dataset_for(name: str, options: Options) -> str:
    """Return the dataset's name if it exists and the upload's options fit it. Raises UnknownDataset or Problem."""
    dataset = key_scope.dataset(name)
    try:
        dataset.check_mapping(options.mapping)
    except InvalidRequest as error:
        raise Problem("invalid_parameter", f"mapping: {error}") from error
    try:
        dataset.check_options(options)
    except InvalidRequest as error:
        raise Problem("invalid_parameter", str(error)) from error
    _check_notify(options)
    if dataset.name not in with_tables(app_context().engine, [dataset.name]):
        raise no_table(dataset.name)
    return dataset.name


def _check_notify(options: Options) -> None:
    """Check the recipients without DNS; what a name resolves to is checked when a message is sent. Raises Problem."""
    settings = app_context().settings
    for address in options.notify:
        try:
            targets.check(address, allow_private=settings.webhook_allow_private, domains=settings.notify_domains)
        except InvalidRequest as error:
            raise Problem("invalid_parameter", f"notify: {error}") from error


def request_key(request: Request) -> str:
    """Return the Idempotency-Key of a request, empty without one. Raises Problem if it is too long."""
    given = request.headers.get("Idempotency-Key", "").strip().strip('"')
    if len(given) > IDEMPOTENCY_KEY_CHARACTERS_MAX:
        raise Problem("bad_request", f"An Idempotency-Key has at most {IDEMPOTENCY_KEY_CHARACTERS_MAX} characters.")
    return given


def idempotency_key(request: Request, upload: Upload, key: ApiKey) -> IdempotencyKey | None:
    """Return the request's idempotency key, None without one. Raises Problem if it is too long."""
    given = request_key(request)
    if not given:
        return None
    asked = [
        request.method,
        request.path,
        upload.filename,
        str(request.content_length),
        request.headers.get("Content-Digest"),
    ]
    if options := upload.options.to_json():  # without any, the fingerprint is that of releases without options
        asked.append(json.dumps(options, sort_keys=True))
    fingerprint = hashlib.sha256("\n".join(map(str, asked)).encode("utf-8", "surrogatepass")).hexdigest()
    return IdempotencyKey(key.id, given, fingerprint)


@contextmanager
def upload_slot(context: AppContext) -> Iterator[None]:
    """Hold one of the slots for uploads while the block lasts: slow uploaders must not take every thread. Raises Problem."""
    if not context.uploads.acquire(blocking=False):
        raise Problem("busy", "As many uploads as this server takes at once are under way. Try again in a few seconds.")
    try:
        yield
    finally:
        context.uploads.release()


def receive(
    context: AppContext,
    upload: Upload,
    *,
    dataset: str,
    key: ApiKey,
    idempotency_key: IdempotencyKey | None = None,
    retry_of: str | None = None,
) -> Receipt:
    """Stream an upload into S3 and the ledger. Raises Problem or BulkheadError; then nothing of it is imported."""
    asked = UploadRequest(upload.options, upload.filename, key.id, retry_of)
    audit_log.describe(dataset=dataset)
    with upload_problems():
        intake = Intake(context.store, context.ledger, recording(retry_of))
        receipt = intake.stream(dataset, asked, upload.chunks, idempotency_key)
    if receipt.replayed:
        audit_log.about("import", receipt.made.id)
        audit_log.describe(replayed="true")
    return receipt


def recording(retry_of: str | None, records: str = "file") -> Callable[[str], Also]:
    """Return what says how an upload is recorded in the audit log: about its import, or about the one that it retries."""

    def of(import_id: str) -> Also:
        if retry_of is None:
            return audit_log.entry("import", import_id)
        return audit_log.entry("import", retry_of, new_import=import_id, records=records)

    return of


@contextmanager
def upload_problems() -> Iterator[None]:
    """Raise the problems of failed uploads in place of their errors."""
    try:
        yield
    except tuple(_PROBLEMS) as error:
        detail = str(error) if isinstance(error, UploadOver) else ""
        headers = {"Retry-After": "2"} if isinstance(error, UploadInFlight) else None
        raise Problem(_PROBLEMS[type(error)], detail, headers=headers) from error


_PROBLEMS: dict[type[BulkheadError], str] = {
    EmptyFile: "empty_file",
    IdempotencyMismatch: "idempotency_mismatch",
    UploadInFlight: "upload_in_flight",
    CanceledMeanwhile: "canceled_meanwhile",
    UploadOver: "upload_over",
}
