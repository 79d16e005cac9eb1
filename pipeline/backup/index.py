"""A map from names to texts on this machine's disk, for buckets whose objects' names do not fit into memory."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from types import TracebackType
from typing import Self


class Index:
    """A temporary map; used by one thread, and gone when closed."""

    def __init__(self, entries: Iterable[tuple[str, str]] = ()) -> None:
        self._database = sqlite3.connect("")  # a temporary file, which SQLite writes only when the cache is full
        self._database.execute("create table entry (name text primary key, value text not null) without rowid")
        self.update(entries)

    def update(self, entries: Iterable[tuple[str, str]]) -> None:
        """Add entries; a later one replaces an earlier one of the same name."""
        with self._database:
            self._database.executemany("insert or replace into entry values (?, ?)", entries)

    def get(self, name: str) -> str | None:
        """Return the text of a name, or None."""
        row = self._database.execute("select value from entry where name = ?", (name,)).fetchone()
        return str(row[0]) if row else None

    def __contains__(self, name: str) -> bool:
        return self.get(name) is not None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._database.close()
