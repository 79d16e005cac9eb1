"""Patches: edits of a file's cells that are stored beside the untouched file, and applied when it is read again.

A ``Correction`` is what reading needs of a patch: which cells to change, which rows to leave out. Rows have the numbers that
findings show; columns have the file's own names. docs/decisions/0046 says why a patch is stored like this.
"""

from __future__ import annotations

import hashlib
import json
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

PATCHES = "patches"

CORRECTION_FILE = "correction.json.zz"
"""The name of the correction beside the file that is read."""

EDITS_MAX = 100_000
"""Changed cells and skipped rows of one patch, together."""

CORRECTION_BYTES_MAX = 256 << 20
"""Limit of a decompressed correction, against an object that another program put there."""

_APPLIED = re.compile(rf"{PATCHES}/([0-9a-f-]{{36}})/applied-([0-9]+)-[0-9a-f]{{64}}\.json\.zz")


def patches_prefix(import_id: str) -> str:
    """Return the prefix of all patches of an import."""
    return f"{PATCHES}/{import_id}/"


def version_key(import_id: str, version: int, nonce: str) -> str:
    """Return the key of a version of an import's patch; ``nonce`` keeps two writers of one version apart."""
    return f"{patches_prefix(import_id)}version-{version:06d}-{nonce}.json.zz"


def applied_key(import_id: str, version: int, digest: str) -> str:
    """Return the key of the correction that a version of a patch became; ``digest`` is its content's SHA-256."""
    return f"{patches_prefix(import_id)}applied-{version}-{digest}.json.zz"


def applied_in(key: str) -> tuple[str, int] | None:
    """Return the import and the version of its patch that a key of ``applied_key`` names; None for any other key."""
    found = _APPLIED.fullmatch(key)
    return (found[1], int(found[2])) if found else None


@dataclass(frozen=True)
class Correction:
    """What reading changes: ``cells`` are (row, column of the file, new value), ``skipped`` the numbers of rows to leave out.

    ``sha256`` is that of the file that it was made for.
    """

    sha256: str
    cells: Sequence[tuple[int, str, str | None]]
    skipped: Sequence[int]

    def to_bytes(self) -> bytes:
        """Return it as it is stored."""
        return zlib.compress(self._text(), 1)

    @property
    def digest(self) -> str:
        """Return the SHA-256 of its content, which the order of its cells does not change."""
        return hashlib.sha256(self._text()).hexdigest()

    def _text(self) -> bytes:
        said = {"sha256": self.sha256, "cells": sorted(self.cells, key=lambda cell: cell[:2]), "skipped": sorted(self.skipped)}
        return json.dumps(said, separators=(",", ":")).encode()

    @classmethod
    def from_bytes(cls, stored: bytes) -> Correction:
        """Return what ``to_bytes`` wrote. Raises ValueError for anything else."""
        unpack = zlib.decompressobj()
        try:
            said: Any = json.loads(unpack.decompress(stored, CORRECTION_BYTES_MAX))
            cells = [(int(row), str(column), None if new is None else str(new)) for row, column, new in said["cells"]]
            return cls(str(said["sha256"]), cells, [int(row) for row in said["skipped"]])
        except (zlib.error, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"This is no correction: {error}") from error
