"""Accept files that clients send straight to S3, by presigned URLs: in parts (multipart) or with one form.

An import is opened with its upload, and awaits its file. Its row and its object end together: both are there, or neither.
"""

from __future__ import annotations

from dataclasses import replace

from pipeline.adapters.s3 import Store, Stored
from pipeline.contracts.states import State
from pipeline.errors import BulkheadError
from pipeline.ledger.audit_log import Also
from pipeline.ledger.ledger import Ledger
from pipeline.ledger.models import ImportRecord
from pipeline.receive.upload import clean_name, import_key, new_import_id, open_import
from pipeline.receive.upload_metadata import UploadRequest, metadata_of, request_of
from pipeline.telemetry import tracing


class PresignedUploads:
    """Open, confirm and give up uploads whose bytes do not pass through Bulkhead. Safe to share between threads."""

    def __init__(self, store: Store, ledger: Ledger) -> None:
        self._store = store
        self._ledger = ledger

    def open(self, dataset: str, request: UploadRequest, *, upload_seconds: float | None = None) -> ImportRecord:
        """Open an import that awaits its file: for ``upload_seconds``, or else as long as BULKHEAD_KEEP_UPLOADS says."""
        request = replace(request, filename=clean_name(request.filename), traceparent=tracing.traceparent())
        import_id = new_import_id()
        key = import_key(dataset, import_id, request)
        open_import(
            self._ledger, import_id, dataset, request, bucket=self._store.bucket, key=key, upload_seconds=upload_seconds
        )
        return self._ledger.imports.known(import_id)

    def open_multipart(self, dataset: str, request: UploadRequest) -> tuple[ImportRecord, str]:
        """Open an import and a multipart upload for its file; return both, the upload by its ID. Raises Unreachable."""
        one = self.open(dataset, request)
        try:
            return one, self._store.begin_upload(one.key, metadata=metadata_of(one.id, request_of(one)))
        except BulkheadError:
            self._ledger.uploads.discard(one.id)
            raise

    def confirm(self, one: ImportRecord, stored: Stored, also: Also | None = None) -> None:
        """Record that the file of an open import is complete in S3; ``also`` appends to the audit log in that transaction.

        Raises LookupError if the upload was given up meanwhile; the object is deleted then, or its import expires.
        """
        try:
            self._ledger.uploads.complete(one.id, size_bytes=stored.size_bytes, sha256="", etag=stored.etag, also=also)
        except LookupError:
            self._delete_unwanted(one)
            raise

    def give_up(self, one: ImportRecord, upload_id: str) -> None:
        """Remove an open import and all of its upload. The row goes last: an event of the object must find it."""
        self._store.abort(one.key, upload_id)
        self._store.delete(one.key)  # it may have been completed at the same time
        self._ledger.uploads.discard(one.id)

    def _delete_unwanted(self, one: ImportRecord) -> None:
        """Delete the object of an upload that was given up; if S3 does not answer, enter its import as expired."""
        try:
            self._store.delete(one.key)
        except BulkheadError:
            open_import(
                self._ledger,
                one.id,
                one.dataset,
                request_of(one),
                bucket=one.bucket,
                key=one.key,
                state=State.EXPIRED,
            )
            raise
