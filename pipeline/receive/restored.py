"""The mark on a dropped file that was restored from a backup: the ID of the import that it had.

Dropped files are recognised by key, ETag and time, which a restored copy does not keep. The mark is of one key only: tools copy
metadata with a file, and the copy under another key is a new file.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping

_NAME = "restored"
"""Metadata of a restored object (``x-amz-meta-restored``)."""


def mark(import_id: str, key: str) -> dict[str, str]:
    """Return the metadata that marks the object at ``key`` as the file of an import."""
    return {_NAME: f"{import_id} {_of(key)}"}


def marked_id(metadata: Mapping[str, str], key: str) -> str | None:
    """Return the ID of the import that an object is marked as the file of, or None."""
    import_id, _, of_key = metadata.get(_NAME, "").partition(" ")
    try:
        return str(uuid.UUID(import_id)) if of_key == _of(key) else None
    except ValueError:
        return None


def _of(key: str) -> str:
    return uuid.uuid5(uuid.NAMESPACE_URL, key).hex
