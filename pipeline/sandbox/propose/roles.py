"""Which column is the key, and which one names the parent: by what columns are called, and by their values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import duckdb

from pipeline.read.synonyms import KEY, PARENT, Words
from pipeline.sandbox.matching.column_facts import measure
from pipeline.sandbox.matching.key_and_parent import find_pair
from pipeline.sandbox.propose.column_facts import ColumnFacts


@dataclass(frozen=True)
class Roles:
    """The key and the parent, each with the reason; ``parent`` is empty if no column names one."""

    key: str
    key_reason: str
    parent: str = ""
    parent_reason: str = ""


def roles_of(
    connection: duckdb.DuckDBPyConnection, facts: Sequence[ColumnFacts], originals: dict[str, str], words: Words
) -> Roles:
    """Return the roles, as a preview finds them. ``originals``: the file's name of each column.

    Without a column that may be the key, the one with the most different values is it.
    """
    names = [one.name for one in facts]
    measured = measure(connection, names, [originals[name] for name in names], facts[0].filled + facts[0].empty)
    pair = find_pair(measured, words, range(len(names)), wanted=(KEY, PARENT))
    place = pair.key if pair.key is not None else max(range(len(names)), key=lambda at: (facts[at].distinct, -at))
    if pair.key is None or pair.parent is None:
        return Roles(names[place], _key_reason(facts[place]))
    share = measured.inside(pair.parent, (place,))
    reason = f"{_percent(share)} of its values are values of {originals[names[place]]}"
    return Roles(names[place], _key_reason(facts[place]), names[pair.parent], reason)


def _key_reason(key: ColumnFacts) -> str:
    if key.is_unique:
        return f"its {key.filled:,} values are all different"
    empty = f" and is empty {key.empty:,} times" if key.empty else ""
    return f"no column has a value of its own for each record; this one has {key.distinct:,} different values{empty}"


def _percent(share: float) -> str:
    return "all" if share == 1 else f"{100 * share:.0f} %"
