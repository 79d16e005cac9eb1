"""The staging database of one import, in which all stages of a file meet, and what the stages share.

It is opened once. Each stage is handed a connection of its own: what it leaves for later stages it writes to the tables that
tables.py names, and its temporary tables are gone when its connection is closed.
"""

from __future__ import annotations

import json
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self, TypeVar

import duckdb

from pipeline.errors import is_out_of_memory
from pipeline.sqlfiles import literal, quoted

R = TypeVar("R")

MEMORY_BYTES = 512 << 20
"""Memory of DuckDB, enough for a million records; what does not fit spills into a folder."""

MOST_MEMORY_BYTES = 2 << 30
"""Memory of DuckDB for the second try; more if the process may use more (BULKHEAD_VALIDATION_MEMORY_BYTES): half of that."""

THREADS = 2
"""Threads of DuckDB for one file."""

VALUE_LENGTH = 200
"""Values in findings are cut at this many characters."""

FINDINGS = """create table if not exists findings (
    code varchar not null, severity varchar not null, message varchar not null, row bigint, line bigint,
    "column" varchar, value varchar, hint varchar, related varchar[], cycle varchar[])"""


class StagingDatabase:
    """A DuckDB database in memory, with a folder for what does not fit, that is gone when its block ends.

    In memory, since it is not needed afterwards, and DuckDB writes a file at half the speed at which it reads one.
    """

    def __init__(self, root: duckdb.DuckDBPyConnection) -> None:
        self._root = root

    @classmethod
    @contextmanager
    def in_memory(cls, folder: Path, memory_bytes: int | None = None) -> Iterator[Self]:
        """Open a new database; what is more than ``memory_bytes`` (MEMORY_BYTES unless given) spills into ``folder``."""
        with duckdb.connect() as root:
            _limit(root, folder, MEMORY_BYTES if memory_bytes is None else memory_bytes)
            root.execute("set checkpoint_threshold = '1TB'")  # there is no file to bring up to date; trying takes half a second
            yield cls(root)

    def connect(self) -> duckdb.DuckDBPyConnection:
        """Return a connection for one stage, to be closed by the caller."""
        return another_connection(self._root)


def another_connection(connection: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    """Return one more connection to the same database, to be closed by the caller. It does not see temporary tables."""
    other = connection.cursor()
    other.execute("set timezone = 'UTC'")
    return other


def _limit(connection: duckdb.DuckDBPyConnection, folder: Path, memory_bytes: int) -> None:
    """Limit the memory and threads of a database, and let it load no extension."""
    connection.execute(f"set memory_limit = '{memory_bytes // (1 << 20)}MiB'")
    connection.execute(f"set temp_directory = {literal(str(folder / 'spill'))}")
    connection.execute(f"set threads = {THREADS}")
    for setting in ("autoinstall_known_extensions", "autoload_known_extensions"):  # nothing is fetched from anywhere
        connection.execute(f"set {setting} = false")


def in_enough_memory(folder: Path, work: Callable[[StagingDatabase], R]) -> R:
    """Return what ``work`` returns for a new database; if its memory was not enough, start once more with more.

    Almost everything spills where memory is short; long values that are sorted cannot.
    """
    try:
        with StagingDatabase.in_memory(folder, MEMORY_BYTES) as database:
            return work(database)
    except (duckdb.OutOfMemoryException, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
    with StagingDatabase.in_memory(folder, _most_memory_bytes()) as database:
        return work(database)


def _most_memory_bytes() -> int:
    """Return half of what this process may have, as the sandbox has limited it; without a limit, MOST_MEMORY_BYTES."""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return MOST_MEMORY_BYTES
    mapped = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    return max(MOST_MEMORY_BYTES, (limit - mapped) // 2)


WIDE_BYTES = 8 << 10
"""If a row may be longer than this, DuckDB gets the file's rows range by range: it can spill short values only."""

PIECE_BYTES = 32 << 20
"""Bytes of wide rows in the first range."""

MOST_ROWS = 1 << 17
"""Rows in one range of ``by_rows``, at most."""


def longest_row(connection: duckdb.DuckDBPyConnection) -> int:
    """Return an upper bound of the bytes of text in one row of the file, from DuckDB's statistics of its tables."""
    longest = 0
    for (table,) in connection.execute(
        "select table_name from duckdb_tables() where not internal and table_name in ('text_rows', 'raw', 'incoming')"
    ).fetchall():
        # not duckdb_columns(): that takes ten times as long, since it looks into each of DuckDB's own views
        columns = connection.execute(f"describe {quoted(table)}").fetchall()
        stats = ", ".join(f"stats({quoted(name)})" for name, kind, *_ in columns if kind == "VARCHAR")
        rows = connection.execute(f"select {stats} from {quoted(table)} where rowid = 0").fetchall() if stats else []
        for row in rows:
            longest = max(longest, sum(int(one.get("max_string_length") or 0) for one in row))
    return longest


def has_wide_rows(connection: duckdb.DuckDBPyConnection) -> bool:
    """Return whether the file has rows that are read range by range; no other reader should run beside that, for memory."""
    return longest_row(connection) > WIDE_BYTES


def by_rows(connection: duckdb.DuckDBPyConnection, statement: str, *, of: str = "incoming", **values: object) -> None:
    """Run ``statement``, in which {range} is a placeholder for a condition on ``_row``: once, or, where rows are wide, for one
    range after the other of the rows ``of`` a table.

    DuckDB keeps in memory the values of 2,048 rows at once of each column that it reads, whatever their length. So if a
    range needs too much memory, a smaller one is tried. Raises duckdb.OutOfMemoryException if one row is too much.
    """
    widest = longest_row(connection)
    if widest <= WIDE_BYTES:
        connection.execute(statement.replace("{range}", "true"), values)
        return
    statement = statement.replace("{range}", "_row between $first and $last")
    ((first, end),) = connection.execute(f"select coalesce(min(_row), 0), coalesce(max(_row), -1) from {of}").fetchall()
    rows, most = max(PIECE_BYTES // widest, 1), MOST_ROWS
    while first <= end:
        last = min(first + rows - 1, end)
        try:
            connection.execute(statement, {"first": first, "last": last, **values})
        except duckdb.OutOfMemoryException:
            if rows == 1:
                raise
            rows = most = max(rows // 4, 1)
            continue
        first, rows = last + 1, min(rows * 2, most)


def number(connection: duckdb.DuckDBPyConnection, query: str) -> int:
    """Return the one number that a query gives."""
    ((found,),) = connection.execute(query).fetchall()
    return int(found)


def reading_of(connection: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    """Return how the file was read, the one row of the table ``reading``; empty if there is none yet."""
    if not connection.execute("from duckdb_tables() where table_name = 'reading'").fetchall():
        return {}
    ((text,),) = connection.execute("select to_json(reading)::varchar from reading").fetchall()
    found: dict[str, Any] = json.loads(text)
    return found
