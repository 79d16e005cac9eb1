"""Accept uploads: from a file to an object in S3 and an import in the ledger, or to nothing at all.

Every way in opens its import here: files streamed through the web server, copies of stored records (a retry), files that a
client sends straight to S3 (presigned_uploads.py), and objects dropped into the bucket (arrivals.py).

A failed upload (broken off, empty, damaged, too large) leaves no object, no multipart upload, no row in the ledger and no
idempotency key, so that the same request can be sent again. If S3 does not answer, the object may exist nevertheless: then
the row stays as expired, so that S3's event does not begin an import. While a process receives a file it renews the upload's
lease; what a killed process leaves behind expires when the lease has lapsed.
"""

from __future__ import annotations

import hashlib
import itertools
import re
import threading
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace

import structlog
import uuid_utils
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from structlog.contextvars import bound_contextvars

from pipeline.adapters.s3 import NotThere, Store, Stored
from pipeline.contracts.object_keys import incoming_key
from pipeline.contracts.states import State
from pipeline.errors import BulkheadError, Conflict, IllegalMove, InvalidRequest
from pipeline.ledger.audit_log import Also
from pipeline.ledger.ledger import Ledger
from pipeline.ledger.models import ImportRecord
from pipeline.receive.chunk_stream import ChunkStream
from pipeline.receive.idempotency import Idempotency, IdempotencyKey, IdempotencyMismatch
from pipeline.receive.upload_metadata import UploadRequest, metadata_of
from pipeline.telemetry import tracing

log = structlog.get_logger(__name__)

NAME_CHARACTERS_MAX = 255

LEASE_SECONDS, RENEW_SECONDS = 60.0, 15.0
"""An upload expires this long after the receiving process last renewed its lease, and how often it does so."""

_NO_ANSWER = (DBAPIError, PoolTimeout)
"""Errors that PostgreSQL raises when it is away, or busy for too long."""


class EmptyFile(InvalidRequest):
    """The file is empty."""


class CanceledMeanwhile(Conflict):
    """The import was canceled during its upload."""


class UploadOver(Conflict):
    """The upload took a pause for too long and was given up. Send the file again."""


@dataclass(frozen=True)
class Receipt:
    """The import that an upload became; ``replayed``: an earlier request with the same idempotency key made it."""

    made: ImportRecord
    replayed: bool = False


def clean_name(filename: str) -> str:
    """Return a file's name as people see it: without folders and control characters, never empty."""
    name = re.split(r"[/\\]", filename)[-1]
    shown = "".join(c for c in name if unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co", "Cn"))
    return shown.strip()[:NAME_CHARACTERS_MAX] or "upload"


def key_name(filename: str) -> str:
    """Return a clean name as a part of an S3 key, with only characters that no event, shell or URL changes; endings stay."""
    plain = unicodedata.normalize("NFKD", filename).encode("ascii", "ignore").decode()
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", plain).lstrip(".-")
    return name[-100:].lstrip(".-") or "upload"


def import_key(dataset: str, import_id: str, request: UploadRequest) -> str:
    """Return the key of an import's object."""
    return incoming_key(dataset, import_id, key_name(request.filename))


def open_import(
    ledger: Ledger,
    import_id: str,
    dataset: str,
    request: UploadRequest,
    *,
    bucket: str,
    key: str,
    state: State = State.AWAITING_UPLOAD,
    size_bytes: int = 0,
    etag: str = "",
    upload_seconds: float | None = None,
) -> None:
    """Enter an import in the ledger, unless it is there already."""
    ledger.imports.open(
        import_id,
        dataset=dataset,
        filename=request.filename,
        bucket=bucket,
        key=key,
        created_by=request.created_by,
        state=state,
        size_bytes=size_bytes,
        etag=etag,
        options=request.options,
        retry_of=request.retry_of,
        traceparent=request.traceparent,
        upload_seconds=upload_seconds,
    )


def new_import_id() -> str:
    """Return the ID of a new import, a UUID of version 7: its time makes IDs sortable."""
    return str(uuid_utils.uuid7())


class Intake:
    """Accept uploads into one bucket and one ledger. Safe to share between threads.

    ``recording`` returns what appends the upload of the import with that ID to the audit log.
    """

    def __init__(self, store: Store, ledger: Ledger, recording: Callable[[str], Also] | None = None) -> None:
        self._store = store
        self._ledger = ledger
        self._recording = recording
        self._idempotency = Idempotency(store, ledger)

    def stream(
        self, dataset: str, request: UploadRequest, chunks: Iterator[bytes], idempotency_key: IdempotencyKey | None = None
    ) -> Receipt:
        """Stream a file into S3 in constant memory, and return its import.

        Raises EmptyFile, IdempotencyMismatch, UploadInFlight, CanceledMeanwhile, UploadOver, Unreachable, or what ``chunks``
        raises; then nothing is imported.
        """
        self._store.must_answer()
        chunks = _not_empty(chunks)
        import_id = new_import_id()
        if idempotency_key and (earlier := self._idempotency.earlier(idempotency_key, import_id)):
            return Receipt(_same(earlier, chunks), replayed=True)
        stream = ChunkStream(chunks)
        return self._receive(
            import_id,
            dataset,
            replace(request, filename=clean_name(request.filename)),
            lambda key, metadata: self._store.put_stream(key, stream, metadata=metadata),
            is_source_fault=lambda _: stream.has_failed,
            idempotency_key=idempotency_key,
        )

    def copy(self, dataset: str, request: UploadRequest, source: str, idempotency_key: IdempotencyKey | None = None) -> Receipt:
        """Import a copy of the object at ``source``, which S3 makes; ``request`` has a clean name.

        Raises NotThere if there is no such object, else as ``stream``; then nothing is imported.
        """
        import_id = new_import_id()
        if idempotency_key and (earlier := self._idempotency.earlier(idempotency_key, import_id)):
            return Receipt(earlier, replayed=True)
        return self._receive(
            import_id,
            dataset,
            request,
            lambda key, metadata: self._store.copy(source, key, metadata=metadata),
            is_source_fault=lambda error: isinstance(error, NotThere),
            idempotency_key=idempotency_key,
        )

    # --- all or nothing ---

    def _receive(
        self,
        import_id: str,
        dataset: str,
        request: UploadRequest,
        put: Callable[[str, dict[str, str]], Stored],
        *,
        is_source_fault: Callable[[BaseException], bool],
        idempotency_key: IdempotencyKey | None,
    ) -> Receipt:
        """Open an import, have ``put`` store its file, and queue it.

        ``is_source_fault`` says of an error whether the file's source failed: then S3 has made no object.
        """
        key = import_key(dataset, import_id, request)
        request = replace(request, traceparent=tracing.traceparent())
        with (
            bound_contextvars(import_id=import_id),
            tracing.span("store file", import_id=import_id, dataset=dataset) as span,
            self._all_or_nothing(import_id, key, is_source_fault, idempotency_key),
        ):
            bucket = self._store.bucket
            open_import(self._ledger, import_id, dataset, request, bucket=bucket, key=key, upload_seconds=LEASE_SECONDS)
            stored = put(key, metadata_of(import_id, request))
            also = self._recording(import_id) if self._recording else None
            self._ledger.uploads.complete(
                import_id, size_bytes=stored.size_bytes, sha256=stored.sha256, etag=stored.etag, also=also
            )
            span.set(size_bytes=stored.size_bytes)
            log.info("uploaded", import_id=import_id, dataset=dataset, size_bytes=stored.size_bytes, key_id=request.created_by)
        return Receipt(self._made(import_id, key))

    @contextmanager
    def _all_or_nothing(
        self,
        import_id: str,
        key: str,
        is_source_fault: Callable[[BaseException], bool],
        idempotency_key: IdempotencyKey | None,
    ) -> Iterator[None]:
        """Renew the upload's lease while the block brings its file into S3; if the block fails, undo all of it.

        The error is dropped if only S3's answer was lost and its event has begun the import meanwhile.
        """
        try:
            with self._renewing(import_id):
                yield
        except BaseException as error:
            may_be_stored = not is_source_fault(error)
            if may_be_stored and self._has_begun(import_id):
                if not isinstance(error, Exception):
                    raise
                log.info("S3's answer was lost, but its event was not", import_id=import_id)
                return
            log.warning("upload failed", import_id=import_id, error=str(error))
            self._undo(import_id, key, may_be_stored=may_be_stored)
            if idempotency_key is not None:
                with suppress(*_NO_ANSWER):  # that of an expired upload can be used again as well
                    self._idempotency.forget(idempotency_key, import_id)
            raise

    def _has_begun(self, import_id: str) -> bool:
        """Return whether the import is at work already. If not, it expires, so that no event of its object begins it."""
        reason = "S3 or the ledger did not confirm the upload: nothing of it is imported"
        try:
            self._ledger.imports.move(import_id, State.EXPIRED, reason)
        except IllegalMove:
            return True
        except (LookupError, *_NO_ANSWER):  # there is no row yet; or it expires when its lease has lapsed
            return False
        return False

    def _undo(self, import_id: str, key: str, *, may_be_stored: bool) -> None:
        """Delete the object and the row. The row stays, as expired, if there is an object or S3 may still make it."""
        try:
            self._store.delete(key)
        except BulkheadError:
            may_be_stored = True
        with suppress(IllegalMove, LookupError, *_NO_ANSWER):
            if may_be_stored:
                self._ledger.imports.move(import_id, State.EXPIRED, "the upload broke off")
            else:
                self._ledger.uploads.discard(import_id)

    @contextmanager
    def _renewing(self, import_id: str) -> Iterator[None]:
        """Renew the upload's lease in a thread while the block lasts."""
        over = threading.Event()

        def renew() -> None:
            while not over.wait(RENEW_SECONDS):
                with suppress(*_NO_ANSWER):  # the next renewal may succeed
                    self._ledger.uploads.renew(import_id, LEASE_SECONDS)

        thread = threading.Thread(target=renew, name=f"lease of {import_id}", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _made(self, import_id: str, key: str) -> ImportRecord:
        """Return the import of a stored file. Raises CanceledMeanwhile or UploadOver, once the object is deleted."""
        made = self._ledger.imports.known(import_id)
        if made.state is State.CANCELED:
            self._store.delete(key)
            raise CanceledMeanwhile
        if made.state is State.EXPIRED:  # this process did not renew its lease in time
            with suppress(BulkheadError):
                self._store.delete(key)
            raise UploadOver
        return made


def _not_empty(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Return the same chunks once there is a first one, before anything is written. Raises EmptyFile."""
    for first in chunks:
        return itertools.chain([first], chunks)
    raise EmptyFile


def _same(earlier: ImportRecord, chunks: Iterator[bytes]) -> ImportRecord:
    """Return the earlier import if these are its bytes. All are read, so that the client can finish sending.

    Raises IdempotencyMismatch.
    """
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
    if earlier.sha256 and earlier.sha256 != digest.hexdigest():
        raise IdempotencyMismatch
    return earlier
