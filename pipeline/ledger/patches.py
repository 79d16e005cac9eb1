"""The versions of patches in the ledger. The edits themselves are objects in S3 (receive/patches.py)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Engine

from pipeline.errors import Conflict
from pipeline.ledger.audit_log import Also
from pipeline.ledger.statements import Statements, execute


class VersionTaken(Conflict):
    """Another change has made this version of the patch already."""


@dataclass(frozen=True)
class PatchVersion:
    """One version of an import's patch. ``key``: the object with its edits; ``sha256``: of the file that they are for."""

    version: int
    key: str
    sha256: str
    edits: int
    skipped_rows: int
    roots: int
    created_by: str | None
    created_at: datetime


class Patches:
    """Add and find versions of patches, and what findings know that a patch needs."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._statements = Statements(engine)

    def latest(self, import_id: str) -> PatchVersion | None:
        """Return the last version of an import's patch; None if it has none."""
        return self._get(import_id, None)

    def version(self, import_id: str, version: int) -> PatchVersion | None:
        """Return a version of an import's patch, or None."""
        return self._get(import_id, version)

    def _get(self, import_id: str, version: int | None) -> PatchVersion | None:
        rows = self._statements.rows("patches/get", import_id=import_id, version=version)
        return PatchVersion(**rows[0]) if rows else None

    def add(
        self,
        import_id: str,
        version: int,
        *,
        key: str,
        sha256: str,
        counts: tuple[int, int, int],
        by: str | None,
        also: Also | None = None,
    ) -> None:
        """Add the version that follows the last one; ``counts`` are its edits, skipped rows and roots.

        ``also`` appends to the audit log in the same transaction. Raises VersionTaken if another change was faster.
        """
        edits, skipped_rows, roots = counts
        with self._engine.begin() as connection:
            added = execute(
                connection,
                "patches/add",
                import_id=UUID(import_id),
                version=version,
                key=key,
                sha256=sha256,
                edits=edits,
                skipped_rows=skipped_rows,
                roots=roots,
                created_by=by,
            ).first()
            if added is None:
                raise VersionTaken
            if also:
                also(connection)

    def alike(self, import_id: str, code: str, column: str | None, value: str | None, limit: int) -> list[int]:
        """Return the rows with a finding of this code, column and value, in order."""
        asked = {"code": code, "column": column, "value": value, "limit": limit}
        return [row["row"] for row in self._statements.rows("patches/alike", import_id=import_id, **asked)]

    def values(self, import_id: str, rows: Sequence[int]) -> dict[tuple[int, str], str]:
        """Return by row and column the values of these rows that findings quote, as they quote them."""
        found = self._statements.rows("patches/values", import_id=import_id, rows=[*rows])
        return {(row["row"], row["column"]): row["value"] for row in found}

    def unneeded(self, ids: Iterable[str]) -> list[str]:
        """Return those of these imports whose patches no import can apply any more."""
        return [row["id"] for row in self._statements.rows("patches/unneeded", ids=[UUID(one) for one in ids])]
