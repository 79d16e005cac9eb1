"""What is seen in the columns of ``raw``: how many values, how many different ones, the longest, the first, the few."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import duckdb

from pipeline.sqlfiles import quoted

FEW = 20
"""So many different values may be all that are allowed."""

SAMPLES, SAMPLE_CHARACTERS = 5, 60
_AT_ONCE = 40
"""Columns in one query: what it holds for each fits into memory."""


@dataclass(frozen=True)
class ColumnFacts:
    """What is seen in one column. ``few``: all its values, if they are few and repeated."""

    name: str
    filled: int
    empty: int
    distinct: int
    longest: int
    samples: tuple[str, ...]
    few: tuple[str, ...] | None

    @property
    def is_unique(self) -> bool:
        """Return whether every record has a value of its own."""
        return not self.empty and self.filled == self.distinct and self.filled > 0


def facts_of(connection: duckdb.DuckDBPyConnection, names: Sequence[str], records: int) -> list[ColumnFacts]:
    """Return the facts of columns of ``raw``. Different values are counted exactly where that matters: few, or nearly all."""
    found = []
    for at in range(0, len(names), _AT_ONCE):
        some = names[at : at + _AT_ONCE]
        asked = ", ".join(
            f"count({quoted(name)}), approx_count_distinct({quoted(name)}), max(length({quoted(name)}))" for name in some
        )
        row: Any = connection.execute(f"select {asked} from raw").fetchone()
        for number, name in enumerate(some):
            filled, distinct, longest = row[number * 3 : number * 3 + 3]
            found.append(_facts(connection, name, filled, records - filled, distinct, longest or 0))
    return found


def _facts(connection: duckdb.DuckDBPyConnection, name: str, filled: int, empty: int, about: int, longest: int) -> ColumnFacts:
    value, distinct, few = quoted(name), about, None
    if filled and (about <= 3 * FEW or about >= 0.8 * filled):
        row: Any = connection.execute(f"select count(distinct {value}) from raw").fetchone()
        distinct = row[0]
    if 0 < distinct <= FEW:
        values = connection.execute(f"select distinct {value} from raw where {value} is not null order by 1").fetchall()
        is_repeated = distinct * 2 <= filled and filled > 3
        few = tuple(str(one) for (one,) in values) if is_repeated else None
    samples = connection.execute(
        f"select any_value(left(v, {SAMPLE_CHARACTERS})) from (select {value} as v, _row from raw where {value} is not null"
        f" order by _row limit 1000) group by v order by min(_row) limit {SAMPLES}"
    ).fetchall()
    return ColumnFacts(name, filled, empty, distinct, longest, tuple(str(one) for (one,) in samples), few)
