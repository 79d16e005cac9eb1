"""Write rows that come one by one into ``raw``, in batches."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from pipeline.read.raw_tables import RawTables
from pipeline.sqlfiles import quoted

_BATCH_ROWS = 20_000
_BATCH_CHARACTERS = 1 << 23


class RowWriter:
    """Writes rows into ``raw`` in batches, with their line numbers. An empty text becomes null."""

    def __init__(self, names: tuple[str, ...], staging: RawTables) -> None:
        self._staging = staging
        kinds = ", ".join(f"{quoted(name)} varchar" for name in names)
        staging.drop_raw()
        staging.connection.execute(f"create table raw (_row bigint, {kinds})")
        self._schema = pa.schema([("_row", pa.int64()), *((name, pa.string()) for name in names)])
        self.rows = 0
        self._rows: list[tuple[object, ...]] = []
        self._characters = 0
        self._anchors: list[tuple[int, int]] = []
        self._distance: int | None = None

    def add(self, row: int, line: int, record: Sequence[str]) -> None:
        """Add the record of row ``row``, which begins on line ``line``."""
        if line - row != self._distance:
            self._distance = line - row
            self._anchors.append((row, line))
        self.rows += 1
        self._rows.append((row, *(value or None for value in record)))
        self._characters += sum(map(len, record))
        if len(self._rows) >= _BATCH_ROWS or self._characters >= _BATCH_CHARACTERS:
            self.flush()

    def flush(self) -> None:
        """Write what is still in memory."""
        if self._rows:
            fields = zip(*self._rows, strict=True)
            arrays = [pa.array(values, field.type) for values, field in zip(fields, self._schema, strict=True)]
            self._staging.insert("raw", pa.Table.from_arrays(arrays, schema=self._schema))
            self._rows.clear()
            self._characters = 0
        self._staging.add_line_numbers(self._anchors)
        self._anchors.clear()
