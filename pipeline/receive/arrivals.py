"""Which import an object under ``incoming/`` is the file of: the one it was uploaded for; a dropped file has one of its own.

An uploaded file carries its import's id twice, in its key and in its metadata, and beside the id what was asked for. So a
file that was uploaded is never taken for a dropped one: without its row in the ledger, the import is restored with its
options, or, where they cannot be known, the object is left alone and reported (docs/decisions/0022).
"""

from __future__ import annotations

import base64
import json
import uuid
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pipeline.adapters.s3 import NotThere, Store, Stored
from pipeline.contracts.object_keys import import_id_for, import_id_in, results_prefix
from pipeline.contracts.options import Options
from pipeline.contracts.states import State
from pipeline.ledger.ledger import Ledger
from pipeline.ledger.models import Trace

IMPORT_ID = "import-id"
"""Metadata of every uploaded file (``x-amz-meta-import-id``)."""

ASKED = "import"
"""Metadata of an uploaded file: what its import was asked for, as base64url of compressed JSON."""

FORCE = "force"
"""Metadata of a dropped file (``x-amz-meta-force: true``) that wants it loaded even if its content is known."""

METADATA_BYTES_MAX = 2_048
"""S3's limit: the bytes of all names and values together."""

ASKED_BYTES_MAX = 64 << 10
"""Of the JSON, once it is decompressed: nothing that we wrote is larger."""


@dataclass(frozen=True)
class UploadRequest:
    """What an upload asked for, and its creator: all of the import's row that cannot be found out from the file."""

    options: Options = field(default_factory=Options)
    filename: str = ""
    created_by: str | None = None
    retry_of: str | None = None


def metadata_of(import_id: str, asked: UploadRequest) -> dict[str, str]:
    """The metadata to store with an uploaded file. What was asked for is left out where S3 does not hold that much."""
    said = {"options": asked.options.to_json(), "filename": asked.filename}
    said |= {name: id_ for name in ("created_by", "retry_of") if (id_ := getattr(asked, name))}
    packed = base64.urlsafe_b64encode(zlib.compress(json.dumps(said).encode(), 9)).decode("ascii")
    metadata = {IMPORT_ID: import_id, ASKED: packed}
    size = sum(len(name) + len(value) for name, value in metadata.items())
    return metadata if size <= METADATA_BYTES_MAX else {IMPORT_ID: import_id}


def asked_in(metadata: Mapping[str, str]) -> UploadRequest | None:
    """Read what ``metadata_of`` wrote; None if it is not there, or cannot be read."""
    try:
        unpack = zlib.decompressobj()
        text = unpack.decompress(base64.urlsafe_b64decode(metadata.get(ASKED, "")), ASKED_BYTES_MAX)
        if not unpack.eof:
            return None
        said = json.loads(text)
        options = Options.from_json(said["options"])
        ids = {name: str(uuid.UUID(said[name])) for name in ("created_by", "retry_of") if said.get(name)}
        return UploadRequest(options, str(said["filename"]), **ids)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, zlib.error):
        return None


@dataclass(frozen=True)
class ObjectOwner:
    """The import that an object is the file of: an id, or the reason ``why`` no import may be made of the object.

    ``asked`` is set where the ledger has no row for an uploaded file: with what to restore it.
    """

    import_id: str = ""
    asked: UploadRequest | None = None
    why: str = ""


class Arrivals:
    """Tells which imports the objects of one bucket are the files of. Asks S3 only about what the ledger does not know."""

    def __init__(self, store: Store, ledger: Ledger) -> None:
        self._store = store
        self._ledger = ledger

    def traces(self, files: Iterable[Stored]) -> Mapping[str, Trace]:
        """What the ledger knows of the imports that these listed objects may be the files of."""
        return self._ledger.imports.traces({one for stored in files for one in ids_of(self._store.bucket, stored)})

    def find(self, stored: Stored) -> ObjectOwner:
        """The import of an object whose metadata is known (``Store.head``). Raises Unreachable."""
        said = _id_or_none(stored.metadata.get(IMPORT_ID))
        ids = (*ids_of(self._store.bucket, stored), *([said] if said else []))
        known = self._ledger.imports.traces(set(ids))
        if trace := trace_of(self._store.bucket, stored, known):
            return ObjectOwner(trace.id)
        dropped, own = ids[0], import_id_in(stored.key)
        if IMPORT_ID not in stored.metadata and not is_ours(own):
            return ObjectOwner(dropped)
        return self._restored(stored, own, said, known)

    def _restored(self, stored: Stored, own: str | None, said: str | None, known: Mapping[str, Trace]) -> ObjectOwner:
        """An uploaded file at whose key the ledger knows no import."""
        if IMPORT_ID in stored.metadata and (own is None or said != own):
            return ObjectOwner(why=f"it is a copy of the file that was uploaded for import {said or 'of no valid id'}")
        if own and own in known:
            return ObjectOwner(why=f"the file of import {own} was uploaded to {known[own].key}")
        asked = asked_in(stored.metadata)
        if own is None or asked is None:
            return ObjectOwner(
                why=f"the ledger does not know import {own}, and the object does not say what it was asked to do"
            )
        if self._was_canceled(own):
            return ObjectOwner(why=f"the ledger does not know import {own}, which was canceled")
        return ObjectOwner(own, asked)

    def _was_canceled(self, import_id: str) -> bool:
        try:
            summary = json.loads(self._store.get_bytes(f"{results_prefix(import_id)}summary.json"))
        except (NotThere, ValueError):
            return False
        return isinstance(summary, dict) and summary.get("state") == State.CANCELED


def ids_of(bucket: str, stored: Stored) -> tuple[str, ...]:
    """The ids that an incoming file's import may have: as a dropped file, and the one in its key, if there is one.

    Some stores list fractions of a second, which their answers about one object leave out: whole seconds are the same in both.
    """
    modified = stored.modified.replace(microsecond=0).isoformat() if stored.modified else ""
    dropped, own = import_id_for(bucket, stored.key, stored.etag, modified), import_id_in(stored.key)
    return (dropped, own) if own else (dropped,)


def trace_of(bucket: str, stored: Stored, known: Mapping[str, Trace]) -> Trace | None:
    """The import of an object, if it is among ``known``, what the ledger knows of ``ids_of`` the object.

    The key of an uploaded file is its import's for ever: whatever lies there later is not a new file.
    """
    dropped, *own = ids_of(bucket, stored)
    trace = known.get(own[0]) if own else None
    return trace if trace is not None and trace.key == stored.key else known.get(dropped)


def is_unchanged(stored: Stored, trace: Trace) -> bool:
    """The object is still the very one that was uploaded for its import."""
    return trace.key == stored.key and trace.etag in ("", stored.etag)


def is_ours(import_id: str | None) -> bool:
    """An id of an upload, which is a UUID of version 7, rather than another folder's name."""
    return import_id is not None and uuid.UUID(import_id).version == 7


def _id_or_none(text: str | None) -> str | None:
    try:
        return str(uuid.UUID(text)) if text else None
    except ValueError:
        return None
