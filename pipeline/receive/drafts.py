"""Keep a file between the steps of a form: what a dataset is to be made of, until it is imported or given up.

A draft is one object in S3, under the ID of the key or the person who sent it, so no other key finds it. It is no import: S3's
event of it is ignored, and the ledger does not know it. Retention removes drafts by their age (docs/decisions/0055).
"""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.adapters.s3 import Store, Stored
from pipeline.contracts.object_keys import draft_key
from pipeline.receive.chunk_stream import ChunkStream
from pipeline.receive.upload import EmptyFile, clean_name, new_import_id
from pipeline.receive.upload_metadata import UploadRequest, asked_in, metadata_of


@dataclass(frozen=True)
class Draft:
    """A kept file. ``key``: that of its object; ``filename``: the name for people."""

    id: str
    key: str
    filename: str
    stored: Stored


def keep_draft(store: Store, owner_id: str, filename: str, chunks: Iterator[bytes]) -> Draft:
    """Stream a file into S3 in constant memory.

    Raises EmptyFile, Unreachable, or what ``chunks`` raises; then nothing is kept.
    """
    first = next(chunks, b"")
    if not first:
        raise EmptyFile
    draft_id, name = new_import_id(), clean_name(filename)
    key = draft_key(owner_id, draft_id)
    stored = store.put_stream(
        key, ChunkStream(itertools.chain([first], chunks)), metadata=metadata_of(draft_id, UploadRequest(filename=name))
    )
    return Draft(draft_id, key, name, stored)


def find_draft(store: Store, owner_id: str, draft_id: str) -> Draft | None:
    """Return the owner's draft of that ID; None if there is none (any more)."""
    try:
        key = draft_key(owner_id, str(uuid.UUID(draft_id)))
    except ValueError:
        return None
    stored = store.head(key)
    if stored is None:
        return None
    asked = asked_in(stored.metadata)
    return Draft(str(uuid.UUID(draft_id)), key, asked.filename if asked else "upload", stored)


def remove_draft(store: Store, draft: Draft) -> None:
    """Delete a draft, and the folder that SeaweedFS leaves of it."""
    store.delete(draft.key)
    store.delete_folder(draft.key.rpartition("/")[0] + "/")
