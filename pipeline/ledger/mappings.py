"""Column mappings and options of reading that people chose, remembered for the next file of the same kind.

Files with the same columns are of the same kind. Where a file can be read only with options, its columns are not known before;
then files whose names differ in digits only are of the same kind.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Engine

from pipeline.ledger.statements import Statements


@dataclass(frozen=True)
class Remembered:
    """How the last file of a kind was read: column of the file -> column of the dataset, and the options of reading."""

    mapping: dict[str, str]
    options: dict[str, Any]
    dataset: str = ""
    at: datetime | None = None


class Mappings:
    """Remember column mappings and options of reading."""

    def __init__(self, engine: Engine) -> None:
        self._statements = Statements(engine)

    def get(self, dataset: str, names: Sequence[str]) -> Remembered | None:
        """Return how the last file with these columns, in whatever order, was read; None if there is none."""
        return self._get(dataset, _header(names))

    def of_file(self, dataset: str, filename: str) -> Remembered | None:
        """Return how the last file with such a name was read, if it was read with options."""
        return self._get(dataset, _file(filename)) if filename else None

    def latest(self, datasets: Sequence[str], names: Sequence[str]) -> list[Remembered]:
        """Return how the last file with these columns was read, for each of the datasets that had one; the newest first."""
        return self._latest(datasets, _header(names))

    def latest_of_file(self, datasets: Sequence[str], filename: str) -> list[Remembered]:
        """Return how the last file with such a name was read, for each of the datasets that had one; the newest first."""
        return self._latest(datasets, _file(filename)) if filename else []

    def _latest(self, datasets: Sequence[str], header: str) -> list[Remembered]:
        rows = self._statements.rows("mappings/latest", datasets=list(datasets), header=header)
        return [Remembered(dict(r["mapping"]), dict(r["options"]), r["dataset"], r["remembered_at"]) for r in rows]

    def keep(
        self,
        dataset: str,
        names: Sequence[str],
        mapping: Mapping[str, str],
        *,
        by: str,
        filename: str = "",
        options: Mapping[str, Any] | None = None,
    ) -> None:
        """Remember how a file with these columns, and of that name, is read."""
        said = {"mapping": json.dumps(mapping), "options": json.dumps(options or {}), "remembered_by": by}
        for header in (_header(names), *([_file(filename)] if filename else [])):
            self._statements.run("mappings/keep", dataset=dataset, header=header, **said)

    def _get(self, dataset: str, header: str) -> Remembered | None:
        rows = self._statements.rows("mappings/get", dataset=dataset, header=header)
        return Remembered(dict(rows[0]["mapping"]), dict(rows[0]["options"])) if rows else None


def _header(names: Sequence[str]) -> str:
    """Return a hash of a set of column names that does not depend on their order."""
    return hashlib.sha256(json.dumps(sorted(names)).encode()).hexdigest()


def _file(filename: str) -> str:
    """Return a hash of a file's name without its digits: dates and numbers differ from file to file."""
    return hashlib.sha256(json.dumps({"file": re.sub(r"\d+", "0", filename.casefold())}).encode()).hexdigest()
