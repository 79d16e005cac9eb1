"""Column mappings that people chose, remembered for the next file with the same columns."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence

from sqlalchemy import Engine

from pipeline.ledger.statements import Statements


class Mappings:
    """Remember column mappings."""

    def __init__(self, engine: Engine) -> None:
        self._statements = Statements(engine)

    def get(self, dataset: str, names: Sequence[str]) -> dict[str, str] | None:
        """Return the last mapping of a file with these columns, in whatever order; None if there is none."""
        rows = self._statements.rows("mappings/get", dataset=dataset, header=_header(names))
        return dict(rows[0]["mapping"]) if rows else None

    def keep(self, dataset: str, names: Sequence[str], mapping: Mapping[str, str], *, by: str) -> None:
        """Remember the mapping of a file with these columns."""
        given = {"dataset": dataset, "header": _header(names), "mapping": json.dumps(mapping), "remembered_by": by}
        self._statements.run("mappings/keep", **given)


def _header(names: Sequence[str]) -> str:
    """Return a hash of a set of column names that does not depend on their order."""
    return hashlib.sha256(json.dumps(sorted(names)).encode()).hexdigest()
