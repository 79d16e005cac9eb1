"""Find the import of an object under ``incoming/``: the one it was uploaded for, or one of its own if it was dropped there.

An uploaded file carries its import's ID in its key and in its metadata, and what the upload asked for. So it is never taken for
a dropped file: if the ledger has lost its row, the import is restored with its options; if they cannot be known, the object is
left alone and reported (docs/decisions/0022).
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import structlog
from structlog.contextvars import bound_contextvars

from pipeline.adapters.s3 import NotThere, Store, Stored
from pipeline.contracts.messages import ObjectArrived
from pipeline.contracts.object_keys import dataset_of, import_id_for, import_id_in, results_prefix
from pipeline.contracts.options import Options
from pipeline.contracts.states import State
from pipeline.contracts.traceparent import TRACEPARENT, valid_traceparent
from pipeline.ledger.ledger import Ledger
from pipeline.ledger.models import Trace
from pipeline.receive.restored import marked_id
from pipeline.receive.upload import open_import
from pipeline.receive.upload_metadata import FORCE, IMPORT_ID, UploadRequest, asked_in
from pipeline.telemetry import tracing

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class ObjectOwner:
    """The ID of the import that an object is the file of, or the reason ``why`` no import may be made of the object.

    ``request`` is set if the ledger has lost the row of an uploaded file: the row is restored from it. ``is_known``: the
    object was restored from a backup, and the ledger has its import.
    """

    import_id: str = ""
    request: UploadRequest | None = None
    why: str = ""
    is_known: bool = False


class Arrivals:
    """Find the imports of the objects of one bucket, and register new ones. Asks S3 only about what is not in the ledger."""

    def __init__(self, store: Store, ledger: Ledger) -> None:
        self._store = store
        self._ledger = ledger

    def traces(self, files: Iterable[Stored]) -> Mapping[str, Trace]:
        """Return the imports in the ledger that these listed objects may be the files of, by ID."""
        return self._ledger.imports.traces({one for stored in files for one in ids_of(self._store.bucket, stored)})

    def find(self, stored: Stored) -> ObjectOwner:
        """Return the import of an object whose metadata is known (``Store.head``). Raises Unreachable."""
        said = _id_or_none(stored.metadata.get(IMPORT_ID))
        marked = marked_id(stored.metadata, stored.key)
        ids = (*ids_of(self._store.bucket, stored), *filter(None, (said, marked)))
        known = self._ledger.imports.traces(set(ids))
        if trace := trace_of(self._store.bucket, stored, known):
            return ObjectOwner(trace.id)
        if marked:
            return ObjectOwner(marked, is_known=marked in known)
        dropped, own = ids[0], import_id_in(stored.key)
        if IMPORT_ID not in stored.metadata and not is_ours(own):
            return ObjectOwner(dropped)
        return self._restored(stored, own, said, known)

    def register(self, arrival: ObjectArrived) -> None:
        """Enter the import of an object that has arrived in the ledger, which may have it already.

        An arrival that names its import is of one that is in the ledger, whatever the object is now.
        """
        stored = None if arrival.import_id else self._store.head(arrival.key)
        if stored is None:
            return
        owner = self.find(stored)
        if owner.why:
            log.warning("unknown upload left alone", key=arrival.key, why=owner.why)
            return
        trace = valid_traceparent(stored.metadata.get(TRACEPARENT)) or arrival.traceparent
        links = (tracing.traceparent(), arrival.traceparent)
        dataset = dataset_of(arrival.key) or ""
        with (
            bound_contextvars(import_id=owner.import_id),
            tracing.span("register", parent=trace, links=links, is_root=True, import_id=owner.import_id, dataset=dataset),
        ):
            self._enter(arrival, stored, owner, tracing.traceparent() or valid_traceparent(trace))

    def _enter(self, arrival: ObjectArrived, stored: Stored, owner: ObjectOwner, traceparent: str | None) -> None:
        """Enter the import of an object in the ledger; ``traceparent``: the span that a new import belongs to."""
        if owner.request is not None:
            log.warning("import restored from its object", import_id=owner.import_id, key=arrival.key)
        open_import(
            self._ledger,
            owner.import_id,
            dataset_of(arrival.key) or "",
            replace(_request_for(owner, stored), traceparent=traceparent),
            bucket=arrival.bucket,
            key=arrival.key,
            state=State.QUEUED,
            size_bytes=stored.size_bytes,
            etag=stored.etag,
        )
        if self._ledger.imports.known(owner.import_id).state is State.AWAITING_UPLOAD:  # the event came before S3's answer
            self._ledger.uploads.complete(owner.import_id, size_bytes=stored.size_bytes, sha256="", etag=stored.etag)

    def _restored(self, stored: Stored, own: str | None, said: str | None, known: Mapping[str, Trace]) -> ObjectOwner:
        """Return the import to restore for an uploaded file that the ledger has no row for."""
        if IMPORT_ID in stored.metadata and (own is None or said != own):
            return ObjectOwner(why=f"it is a copy of the file that was uploaded for import {said or 'of no valid id'}")
        if own and own in known:
            return ObjectOwner(why=f"the file of import {own} was uploaded to {known[own].key}")
        request = asked_in(stored.metadata)
        if own is None or request is None:
            return ObjectOwner(
                why=f"the ledger does not know import {own}, and the object does not say what it was asked to do"
            )
        if self._was_canceled(own):
            return ObjectOwner(why=f"the ledger does not know import {own}, which was canceled")
        return ObjectOwner(own, request)

    def _was_canceled(self, import_id: str) -> bool:
        try:
            summary = json.loads(self._store.get_bytes(f"{results_prefix(import_id)}summary.json"))
        except (NotThere, ValueError):
            return False
        return isinstance(summary, dict) and summary.get("state") == State.CANCELED


def _request_for(owner: ObjectOwner, stored: Stored) -> UploadRequest:
    """Return what the import of an object asks for: what was uploaded with it, or the options of a dropped file."""
    name = Path(stored.key).name
    if owner.request is None:
        return UploadRequest(Options(force=stored.metadata.get(FORCE) == "true"), name)
    return replace(owner.request, filename=owner.request.filename or name)


def ids_of(bucket: str, stored: Stored) -> tuple[str, ...]:
    """Return the IDs that an incoming file's import may have: as a dropped file, and the one in its key if there is one.

    Times are cut to whole seconds: some stores list fractions, which their answers about one object leave out.
    """
    modified = stored.modified.replace(microsecond=0).isoformat() if stored.modified else ""
    dropped, own = import_id_for(bucket, stored.key, stored.etag, modified), import_id_in(stored.key)
    return (dropped, own) if own else (dropped,)


def trace_of(bucket: str, stored: Stored, known: Mapping[str, Trace]) -> Trace | None:
    """Return the import of an object from ``known``, the ledger's imports with the object's ``ids_of``; or None.

    The key of an uploaded file belongs to its import for ever: another object at that key is not a new file.
    """
    dropped, *own = ids_of(bucket, stored)
    trace = known.get(own[0]) if own else None
    return trace if trace is not None and trace.key == stored.key else known.get(dropped)


def is_unchanged(stored: Stored, trace: Trace) -> bool:
    """Return whether the object is still the one that was uploaded for its import."""
    return trace.key == stored.key and trace.etag in ("", stored.etag)


def is_ours(import_id: str | None) -> bool:
    """Return whether an ID in a key is that of an upload, a UUID of version 7, and not the name of another folder."""
    return import_id is not None and uuid.UUID(import_id).version == 7


def _id_or_none(text: str | None) -> str | None:
    try:
        return str(uuid.UUID(text)) if text else None
    except ValueError:
        return None
