"""Keep the columns of a JSON text, whose records may have new keys at any time."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from pipeline.read import column_mapping
from pipeline.read.formats.json_values import without_surrogates
from pipeline.read.raw_tables import RawTables
from pipeline.sqlfiles import quoted


class JsonColumns(dict[str, str]):
    """Name in the file -> name in ``raw``."""

    def __init__(self, staging: RawTables, flush: Callable[[], None]) -> None:
        super().__init__()
        self._staging, self._flush = staging, flush

    def name_of(self, original: str) -> str:
        """Return the name in ``raw`` of a key that has been added."""
        return self.get(original) or self[without_surrogates(original)]

    def add(self, keys: Iterable[str], row: int, line: int) -> None:
        """Add a column to ``raw`` for each key that is new.

        A key that is exactly a column's name takes the column from one that was only similar; the rows so far are written
        before, since their column gets its own name back.
        """
        for key in keys:
            sound = without_surrogates(key)
            if sound in self:
                continue
            staging = self._staging
            names = column_mapping.raw_names((*self, sound), staging.dataset, staging.limits, line=line)
            for original, name in zip([*self], names, strict=False):
                if self[original] != name:
                    self._flush()
                    staging.rename_column(self[original], name)
                    self[original] = name
            self[sound] = names[-1]
            staging.connection.execute(f"alter table raw add column {quoted(names[-1])} varchar")
            staging.check_unknown_column(names[-1], sound, row=row, line=line)
