"""The script that one would write by hand within an hour: COPY into a temporary table, and an upsert."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import psycopg

from benchmarks.data import COLUMNS

TABLE = "bare.records"
PART_RECORDS = 20_000
PIECE_BYTES = 1 << 20

_NAMES = ", ".join(f'"{name}"' for name in COLUMNS)
_OTHERS = [f'"{name}"' for name in COLUMNS if name != "id"]

SCHEMA = f"""
create schema if not exists bare;
create table if not exists {TABLE} (
    id text primary key, "parentId" text, name text not null, kind text, amount numeric(12, 2), note text);
create index if not exists bare_parent on {TABLE} ("parentId", id);
"""
"""The columns, the primary key and the parent index that Bulkhead's table has, without its lineage."""

_ARRIVING = f"create temporary table arriving (like {TABLE}) on commit drop"
_OLD, _NEW = (", ".join(f"{relation}.{name}" for name in _OTHERS) for relation in ("target", "excluded"))
_UPSERT = f"""insert into {TABLE} as target ({_NAMES}) select {_NAMES} from arriving
on conflict (id) do update set {", ".join(f"{name} = excluded.{name}" for name in _OTHERS)}
where ({_OLD}) is distinct from ({_NEW})"""


def upsert(url: str, file: Path) -> None:
    """One connection, one transaction."""
    with psycopg.connect(url) as connection, file.open("rb") as opened:
        opened.readline()  # the header: the columns are in the table's order
        _merge(connection, iter(lambda: opened.read(PIECE_BYTES), b""))


def upsert_in_parts(url: str, file: Path, connections: int = 2) -> None:
    """So many connections, each with a part of 20,000 lines at a time, which is a transaction."""
    with file.open("rb") as opened, ThreadPoolExecutor(connections) as pool:
        opened.readline()
        parts = _Parts(opened)
        for done in [pool.submit(_merge_parts, url, parts) for _ in range(connections)]:
            done.result()


def _merge_parts(url: str, parts: _Parts) -> None:
    with psycopg.connect(url) as connection:
        for part in parts:
            _merge(connection, [part])
            connection.commit()


def _merge(connection: psycopg.Connection, pieces: Iterator[bytes] | list[bytes]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_ARRIVING)
        with cursor.copy(f"copy arriving ({_NAMES}) from stdin (format csv)") as copy:
            for piece in pieces:
                copy.write(piece)
        cursor.execute(_UPSERT)


class _Parts:
    """The lines of a file, given out 20,000 at a time to the threads that ask."""

    def __init__(self, opened: BinaryIO) -> None:
        self._opened = opened
        self._one_at_a_time = threading.Lock()

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._next, b"")

    def _next(self) -> bytes:
        with self._one_at_a_time:
            return b"".join(islice(self._opened, PART_RECORDS))
