"""From a request to a file in S3 and a row in the ledger: all of it, or nothing.

An upload that comes to nothing (broken off, empty, damaged, too large) leaves no object, no multipart upload, no row in
the ledger and no Idempotency-Key behind, so the same request can simply be sent again. Where S3 does not answer, the object
may be there all the same: then the row stays, as expired, so that S3's event begins nothing. While a process receives a file
it renews the upload's lease; what a killed process leaves expires when the lease has lapsed.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import threading
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import structlog
import uuid_utils
from flask import Request
from sqlalchemy import Row, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.http import parse_options_header

from pipeline.contracts.object_keys import incoming_key
from pipeline.contracts.options import Options
from pipeline.contracts.states import State
from pipeline.errors import BulkheadError, IllegalMove, InvalidRequest
from pipeline.ledger.api_keys import ApiKey
from pipeline.ledger.models import ImportRecord
from pipeline.notify import targets
from pipeline.receive.arrivals import UploadRequest, metadata_of
from pipeline.sqlfiles import load
from pipeline.warehouse.existing_edges import with_tables
from web.app_context import AppContext, app_context
from web.http.problems import Problem, no_table
from web.http.request_body import ChunkStream, Form, chunks_of, content_digest, too_large
from web.http.responses import STALL_SECONDS
from web.services import key_scope

log = structlog.get_logger(__name__)

NAME_CHARACTERS_MAX = 255
IDEMPOTENCY_KEY_CHARACTERS_MAX = 255

LEASE_SECONDS, RENEW_SECONDS = 60.0, 15.0
"""An upload is given up so long after the process that receives it renewed the lease last; it does so this often."""

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
    """What a request brings: a name, and the file's bytes as they arrive."""

    filename: str  # as the user calls it
    chunks: Iterator[bytes]
    options: Options = field(default_factory=Options)


@dataclass(frozen=True)
class Receipt:
    """The import that an upload became; ``replayed``: an earlier request with this Idempotency-Key made it."""

    made: ImportRecord
    replayed: bool = False


# --- what the request brings ---


def body_chunks(request: Request, bytes_max: int) -> Iterator[bytes]:
    """The body of a request, held to its own headers and to our limit. What is too large is not even begun."""
    length = request.content_length
    if length is not None and length > bytes_max:
        raise too_large(bytes_max)
    socket = request.environ.get("gunicorn.socket")
    if socket is not None:
        socket.settimeout(STALL_SECONDS)
    if length is None and not request.environ.get("wsgi.input_terminated"):
        length = 0  # nobody says where such a body ends
    return chunks_of(
        request.environ["wsgi.input"],
        content_length=length,
        bytes_max=bytes_max,
        sha256=content_digest(request.headers.get("Content-Digest")),
    )


def upload_in(request: Request, bytes_max: int, options: Options) -> Upload:
    """The file in a request: the one file of a form, or the bare body."""
    chunks = body_chunks(request, bytes_max)
    if request.mimetype == "multipart/form-data":
        form = Form(chunks, request.mimetype_params.get("boundary", ""))
        return Upload(request.args.get("filename") or form.filename, form.file_chunks(), options)
    return Upload(_name_of_body(request), chunks, options)


def _name_of_body(request: Request) -> str:
    _, disposition = parse_options_header(request.headers.get("Content-Disposition"))
    name = request.args.get("filename") or disposition.get("filename") or request.headers.get("X-Filename")
    return name or "upload" + _SUFFIX_OF_TYPE.get(request.mimetype, "")


def label_of(filename: str) -> str:
    """The name as people see it: without folders and control characters."""
    name = re.split(r"[/\\]", filename)[-1]
    shown = "".join(c for c in name if unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co", "Cn"))
    return shown.strip()[:NAME_CHARACTERS_MAX] or "upload"


def safe_name(label: str) -> str:
    """The name as a part of an S3 key: only characters that no event, shell or URL can twist; endings stay."""
    plain = unicodedata.normalize("NFKD", label).encode("ascii", "ignore").decode()
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", plain).lstrip(".-")
    return name[-100:].lstrip(".-") or "upload"


def dataset_for(name: str, options: Options) -> str:
    """The name of a dataset that there is and that can be uploaded to as asked. Raises UnknownDataset or Problem."""
    dataset = key_scope.dataset(name)
    try:
        dataset.check_mapping(options.mapping)
    except InvalidRequest as error:
        raise Problem("invalid_parameter", f"mapping: {error}") from error
    _check_notify(options)
    if dataset.name not in with_tables(app_context().engine, [dataset.name]):
        raise no_table(dataset.name)
    return dataset.name


def _check_notify(options: Options) -> None:
    """What shows without asking for the host; where a name leads to is looked at when a message is sent. Raises Problem."""
    settings = app_context().settings
    for address in options.notify:
        try:
            targets.check(address, allow_private=settings.webhook_allow_private, domains=settings.notify_domains)
        except InvalidRequest as error:
            raise Problem("invalid_parameter", f"notify: {error}") from error


# --- into S3 and the ledger ---


def receive(
    context: AppContext, upload: Upload, *, dataset: str, key: ApiKey, once: Once | None = None, retry_of: str | None = None
) -> Receipt:
    """Stream an upload into S3 and the ledger. Raises Problem or BulkheadError, and then nothing of it is imported."""
    context.store.must_answer()
    chunks = _not_empty(upload.chunks)
    import_id = str(uuid_utils.uuid7())
    if once is not None:
        earlier = once.begin(context, key, import_id)
        if earlier is not None:
            return Receipt(_same(earlier, chunks), replayed=True)
    label = label_of(upload.filename)
    s3_key = incoming_key(dataset, import_id, safe_name(label))
    metadata = metadata_of(import_id, UploadRequest(upload.options, label, key.id, retry_of))
    with received(context, import_id, s3_key, key, once):
        context.ledger.imports.open(
            import_id,
            dataset=dataset,
            filename=label,
            bucket=context.store.bucket,
            key=s3_key,
            created_by=key.id,
            options=upload.options,
            retry_of=retry_of,
            upload_seconds=LEASE_SECONDS,
        )
        stored = context.store.put_stream(s3_key, ChunkStream(chunks), metadata=metadata)
        context.ledger.uploads.complete(import_id, size_bytes=stored.size_bytes, sha256=stored.sha256, etag=stored.etag)
        log.info("uploaded", import_id=import_id, dataset=dataset, size_bytes=stored.size_bytes, key_id=key.id)
    return Receipt(_made(context, import_id, s3_key))


def _not_empty(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The same chunks, once it is sure that there is one: before anything is written anywhere."""
    for first in chunks:
        return itertools.chain([first], chunks)
    raise Problem("empty_file")


@contextmanager
def a_place(context: AppContext) -> Iterator[None]:
    """One of the few places for uploads, or a polite refusal: slow uploaders must not take every thread."""
    if not context.uploads.acquire(blocking=False):
        raise Problem("busy", "As many uploads as this server takes at once are under way. Try again in a few seconds.")
    try:
        yield
    finally:
        context.uploads.release()


@contextmanager
def received(context: AppContext, import_id: str, s3_key: str, key: ApiKey, once: Once | None) -> Iterator[None]:
    """Keep the upload's lease while the block brings its file into S3; if that fails in any way, take it back.

    Ends without an error if only S3's answer was lost, and its event has begun the import meanwhile.
    """
    try:
        with _renewing(context, import_id):
            yield
    except BaseException as error:
        is_there = not isinstance(error, Problem)  # else the stream was at fault, before its end: S3 makes no object of that
        if is_there and _has_begun(context, import_id):
            if not isinstance(error, Exception):
                raise
            log.info("S3's answer was lost, but its event was not", import_id=import_id)
            return
        log.warning("upload came to nothing", import_id=import_id, error=str(error))
        _take_back(context, import_id, s3_key, is_there=is_there)
        if once is not None:
            with suppress(DBAPIError, PoolTimeout):  # the key of an upload that has expired may be used again as well
                once.forget(context, key, import_id)
        raise


def _has_begun(context: AppContext, import_id: str) -> bool:
    """Whether the import is at work already. If not, it expires: from now on no event of its object begins it."""
    try:
        context.ledger.imports.move(
            import_id, State.EXPIRED, "S3 or the ledger did not confirm the upload: nothing of it is imported"
        )
    except IllegalMove:
        return True
    except (LookupError, DBAPIError, PoolTimeout):  # there is no row yet; or it expires when its lease has lapsed
        return False
    return False


def _take_back(context: AppContext, import_id: str, s3_key: str, *, is_there: bool) -> None:
    """Remove the object and the row. The row stays, as expired, if the object is there or may still come to be."""
    try:
        context.store.delete(s3_key)
    except BulkheadError:
        is_there = True
    with suppress(IllegalMove, LookupError, DBAPIError, PoolTimeout):
        if is_there:
            context.ledger.imports.move(import_id, State.EXPIRED, "the upload broke off")
        else:
            context.ledger.uploads.discard(import_id)


@contextmanager
def _renewing(context: AppContext, import_id: str) -> Iterator[None]:
    """Renew the upload's lease while the block lasts."""
    over = threading.Event()

    def renew() -> None:
        while not over.wait(RENEW_SECONDS):
            with suppress(DBAPIError, PoolTimeout):  # PostgreSQL is away: the next try may succeed
                context.ledger.uploads.renew(import_id, LEASE_SECONDS)

    thread = threading.Thread(target=renew, name=f"lease of {import_id}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _same(earlier: ImportRecord, chunks: Iterator[bytes]) -> ImportRecord:
    """The earlier import, if these are its bytes. Reading them all lets the client finish sending, and hear of it."""
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
    if earlier.sha256 and earlier.sha256 != digest.hexdigest():
        raise Problem("idempotency_mismatch")
    return earlier


def _made(context: AppContext, import_id: str, s3_key: str) -> ImportRecord:
    made = context.ledger.imports.get(import_id)
    if made is None:
        raise Problem("internal")
    if made.state is State.CANCELED:
        context.store.delete(s3_key)
        raise Problem("canceled_meanwhile")
    if made.state is State.EXPIRED:  # this process was not heard of for longer than its lease
        with suppress(BulkheadError):
            context.store.delete(s3_key)
        raise Problem("upload_over", "The upload took a pause for too long and was given up. Send the file again.")
    return made


def _has_died(context: AppContext, import_id: str) -> bool:
    """Give up an upload whose process does not renew its lease any more; False if it is alive, or its file is whole."""
    s3_key = context.ledger.uploads.lapsed_key(import_id)
    if s3_key is None or context.store.head(s3_key) is not None:
        return False
    with suppress(IllegalMove):
        context.ledger.imports.move(import_id, State.EXPIRED)
        return True
    return False


# --- once and no more ---


@dataclass(frozen=True)
class Once:
    """A request's Idempotency-Key, and what the request asks for: repeated, it gets the first one's import."""

    idempotency_key: str
    fingerprint: str

    @classmethod
    def of(cls, request: Request, upload: Upload) -> Once | None:
        """The key in a request's header; None if there is none. Raises Problem for one that is too long."""
        given = request.headers.get("Idempotency-Key", "").strip().strip('"')
        if not given:
            return None
        if len(given) > IDEMPOTENCY_KEY_CHARACTERS_MAX:
            raise Problem("bad_request", f"An Idempotency-Key has at most {IDEMPOTENCY_KEY_CHARACTERS_MAX} characters.")
        asked = [
            request.method,
            request.path,
            upload.filename,
            str(request.content_length),
            request.headers.get("Content-Digest"),
        ]
        if options := upload.options.to_json():  # without any, the same fingerprint as before there were options
            asked.append(json.dumps(options, sort_keys=True))
        return cls(given, hashlib.sha256("\n".join(map(str, asked)).encode("utf-8", "surrogatepass")).hexdigest())

    def begin(self, context: AppContext, key: ApiKey, import_id: str) -> ImportRecord | None:
        """None: go on, this request is the first. Else the import that an earlier one made.

        Raises Problem if the earlier one asked for something else, or is still under way.
        """
        if self._run(context, "open", key, import_id=import_id, fingerprint=self.fingerprint):
            return None
        earlier = self._run(context, "get", key)
        if earlier is None:  # it has come to nothing since
            return self.begin(context, key, import_id)
        if earlier.fingerprint != self.fingerprint:
            raise Problem("idempotency_mismatch")
        made = context.ledger.imports.get(earlier.import_id)
        if made is not None and made.state not in (State.AWAITING_UPLOAD, State.EXPIRED):
            return made
        is_dead = earlier.is_old if made is None else made.state is State.EXPIRED or _has_died(context, made.id)
        if is_dead and self._run(context, "renew", key, import_id=import_id, stale_id=earlier.import_id):
            return None
        raise Problem("upload_in_flight", headers={"Retry-After": "2"})

    def forget(self, context: AppContext, key: ApiKey, import_id: str) -> None:
        """The request came to nothing: the next one is the first."""
        self._run(context, "discard", key, import_id=import_id)

    def _run(self, context: AppContext, query: str, key: ApiKey, **values: Any) -> Row[Any] | None:
        given = {"key_id": key.id, "idempotency_key": self.idempotency_key, **values}
        with context.engine.begin() as connection:
            result = connection.execute(text(load(f"queries/idempotency_keys/{query}")), given)
            return result.first() if result.returns_rows else None
