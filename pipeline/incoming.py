"""Which import an incoming file is the file of: it was uploaded for one, or somebody dropped it, perhaps over another."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.contracts import import_id_for, import_id_in
from pipeline.ledger import Trace
from pipeline.store import Stored


def ids_of(bucket: str, stored: Stored) -> tuple[str, ...]:
    """The ids that an incoming file's import may have: as a dropped file, and the one in its key, if there is one."""
    modified = stored.modified.isoformat() if stored.modified else ""
    dropped, own = import_id_for(bucket, stored.key, stored.etag, modified), import_id_in(stored.key)
    return (dropped, own) if own else (dropped,)


def import_id_of(bucket: str, stored: Stored, known: Mapping[str, Trace]) -> str:
    """The id in an uploaded file's key, unless another file was put over it; a dropped file has one of its own.

    ``known``: what the ledger knows of ``ids_of`` the file.
    """
    dropped, *own = ids_of(bucket, stored)
    trace = known.get(own[0]) if own else None
    is_own = trace is not None and trace.key == stored.key and trace.etag in ("", stored.etag)
    return own[0] if is_own else dropped
