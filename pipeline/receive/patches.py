"""Store the versions of a patch, and make of one the correction that reading applies.

A version is an object in S3 that never changes, with every edit: what it was, what it is now, who made it and when. The ledger
lists the versions. Of two changes that are made to the same version only one becomes the next; the other is refused, with what
has changed.
"""

from __future__ import annotations

import uuid
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum

import orjson

from pipeline.adapters.s3 import Store
from pipeline.contracts.patches import EDITS_MAX, Correction, applied_key, version_key
from pipeline.errors import InvalidRequest
from pipeline.ledger.audit_log import Also
from pipeline.ledger.ledger import Ledger
from pipeline.ledger.models import ImportRecord
from pipeline.ledger.patches import PatchVersion, VersionTaken

PATCH_BYTES_MAX = 64 << 20
"""Limit of a version's decompressed text."""

SKIPPED = ""
"""The column of an edit that leaves the whole row out."""

Cell = tuple[int, str]
"""A row's number and a column's name, as findings have them."""


class TooManyEdits(InvalidRequest):
    """A patch has at most 100,000 edits. Correct the file itself, and upload it as a retry."""


class EditKind(StrEnum):
    """What an edit does."""

    EDIT = "edit"
    SKIP = "skip"
    ROOT = "root"


@dataclass(frozen=True)
class Edit:
    """One edit: of a cell, or (``column`` is SKIPPED) of a whole row, which is left out.

    ``old`` is the value in the file, as far as it is known; ``by`` the ID of who made it, ``at`` when (RFC 3339), ``version``
    the version that it came with.
    """

    row: int
    column: str
    kind: EditKind
    old: str | None
    new: str | None
    by: str
    at: str
    version: int

    @property
    def cell(self) -> Cell:
        """Return what it is an edit of."""
        return self.row, self.column

    @property
    def effect(self) -> tuple[EditKind, str | None]:
        """Return what it does, without its author and time."""
        return self.kind, self.new


_FIELDS = tuple(one.name for one in fields(Edit))


@dataclass(frozen=True)
class Patch:
    """A version of the edits of an import's file; version 0 has none. ``names``: of those who made them, by their IDs."""

    import_id: str
    version: int = 0
    sha256: str = ""
    edits: Mapping[Cell, Edit] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)

    @property
    def counts(self) -> tuple[int, int, int]:
        """Return how many cells are changed, how many rows are skipped, and how many of the cells make a root."""
        kinds = [edit.kind for edit in self.edits.values()]
        skipped = kinds.count(EditKind.SKIP)
        return len(kinds) - skipped, skipped, kinds.count(EditKind.ROOT)

    def changed_since(self, earlier: Patch) -> list[Cell]:
        """Return the cells whose edits differ from those of an earlier version, in order."""
        none = (None, None)

        def effect(of: Patch, cell: Cell) -> tuple[EditKind | None, str | None]:
            return of.edits[cell].effect if cell in of.edits else none

        return sorted(cell for cell in {*self.edits, *earlier.edits} if effect(self, cell) != effect(earlier, cell))

    def to_bytes(self) -> bytes:
        """Return it as it is stored. Raises TooManyEdits if that would be too much."""
        said = {
            "import_id": self.import_id,
            "version": self.version,
            "sha256": self.sha256,
            "names": dict(self.names),
            "edits": [[getattr(edit, name) for name in _FIELDS] for _, edit in sorted(self.edits.items())],
        }
        text = orjson.dumps(said)
        if len(text) > PATCH_BYTES_MAX:
            raise TooManyEdits(f"All edits together have more than {PATCH_BYTES_MAX >> 20} MiB. Correct the file itself.")
        return zlib.compress(text, 1)

    @classmethod
    def from_bytes(cls, stored: bytes) -> Patch:
        """Return what ``to_bytes`` wrote."""
        said = orjson.loads(zlib.decompressobj().decompress(stored, PATCH_BYTES_MAX))
        edits = (Edit(row, column, EditKind(kind), *rest) for row, column, kind, *rest in said["edits"])
        return cls(said["import_id"], said["version"], said["sha256"], {edit.cell: edit for edit in edits}, said["names"])


class Patches:
    """Read and write the patches of imports. Safe to share between threads."""

    def __init__(self, store: Store, ledger: Ledger) -> None:
        self._store = store
        self._ledger = ledger

    def current(self, import_id: str) -> Patch:
        """Return the last version of an import's patch; version 0 if it has none."""
        return self._load(import_id, self._ledger.patches.latest(import_id))

    def version(self, import_id: str, version: int) -> Patch | None:
        """Return a version of an import's patch; None if there is no such version."""
        if version == 0:
            return Patch(import_id)
        known = self._ledger.patches.version(import_id, version)
        return self._load(import_id, known) if known else None

    def _load(self, import_id: str, known: PatchVersion | None) -> Patch:
        return Patch.from_bytes(self._store.get_bytes(known.key)) if known else Patch(import_id)

    def save(self, patch: Patch, *, by: str | None, also: Also | None = None) -> None:
        """Store the next version of a patch; ``also`` appends to the audit log in the transaction of its entry.

        Raises TooManyEdits, and VersionTaken if another change has made this version.
        """
        if len(patch.edits) > EDITS_MAX:
            raise TooManyEdits
        key = version_key(patch.import_id, patch.version, uuid.uuid4().hex)
        self._store.put_bytes(key, patch.to_bytes())
        try:
            self._ledger.patches.add(
                patch.import_id, patch.version, key=key, sha256=patch.sha256, counts=patch.counts, by=by, also=also
            )
        except VersionTaken:
            self._store.delete(key)
            raise

    # --- what reading applies ---

    def applied(self, one: ImportRecord) -> Correction:
        """Return the correction that ``one``, a retry itself, was read with; an empty one if it was none.

        Raises NotThere if it is not kept any more.
        """
        if one.options.patch is None:
            return Correction(one.sha256, (), ())
        return Correction.from_bytes(self._store.get_bytes(one.options.patch))

    def store_correction(self, one: ImportRecord, patch: Patch) -> str:
        """Store the correction that a retry of ``one`` is read with; return its key. Equal corrections have equal keys.

        Raises TooManyEdits, or NotThere as ``applied``.
        """
        together = _joined(self.applied(one), patch, dict(_names_in_file(one)))
        if len(together.cells) + len(together.skipped) > EDITS_MAX:
            raise TooManyEdits("This import was corrected before: with those edits there are more than 100,000.")
        key = applied_key(one.id, patch.version, together.digest)
        self._store.put_bytes(key, together.to_bytes())
        return key


def _joined(before: Correction, patch: Patch, names: Mapping[str, str]) -> Correction:
    """Return both as one correction of the file; ``names`` are the file's own, by those that findings have."""
    cells = {(row, column): new for row, column, new in before.cells}
    cells |= {(row, names.get(column, column)): edit.new for (row, column), edit in patch.edits.items() if column != SKIPPED}
    skipped = {*before.skipped, *(row for row, column in patch.edits if column == SKIPPED)}
    kept = [(row, column, new) for (row, column), new in cells.items() if row not in skipped]
    return Correction(before.sha256, kept, [*skipped])


def _names_in_file(one: ImportRecord) -> Iterator[tuple[str, str]]:
    """Yield the columns of an import's file: the name in findings, and the file's own."""
    columns = one.reading.get("columns") or ()
    yield from zip(columns, one.reading.get("original_columns") or columns, strict=True)
