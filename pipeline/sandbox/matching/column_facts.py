"""Measure the columns of a file in DuckDB: how many values each has, how many are different, and whose values lie in whose.

Bounded: so many columns and pairs of them are looked at, the values of a possible parent in the first rows only, and no
longer than SECONDS. What was not measured counts as unknown, never as a fit.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import duckdb

from pipeline.sqlfiles import literal, quoted

COLUMNS = 200
PAIRS = 600
SAMPLE_ROWS = 100_000
SECONDS = 8.0
SAMPLES = 3
_CHARACTERS = 60

NONE_WORDS = (
    *(
        "-",
        "--",
        "–",
        "—",
        ".",
        "?",
        "n/a",
        "na",
        "#n/a",
        "n.a.",
        "null",
        "none",
        "nil",
        "nan",
        "(none)",
        "(blank)",
        "<null>",
        "\\n",
    ),
    *(
        "keine",
        "keiner",
        "k.a.",
        "entfällt",
        "leer",
        "aucun",
        "aucune",
        "néant",
        "vide",
        "ninguno",
        "ninguna",
        "vacío",
        "nessuno",
    ),
    *("nenhum", "geen", "brak", "无", "無", "なし"),
)
"""Texts that probably mean that there is no value."""

NO_PARENT_WORDS = (*NONE_WORDS, "0", "-1", "#", "root", "top", "wurzel", "racine", "raíz", "ceo")


@dataclass(frozen=True)
class ColumnFacts:
    """A column: its name in ``raw`` and in the file, how many values it has, how many different ones, of what kind."""

    name: str
    original: str
    records: int
    given: int = 0
    distinct: int = 0
    decimals: int = 0  # numbers with a decimal point
    dates: int = 0
    longest: int = 0  # characters
    padded: int = 0  # with spaces around them
    blanks: tuple[str, ...] = ()  # of NONE_WORDS, as they are written
    samples: tuple[str, ...] = ()
    is_measured: bool = False

    @property
    def is_unique(self) -> bool:
        """Return whether every record has a value, and no other record the same."""
        return self.is_measured and self.records > 1 and self.given == self.distinct == self.records

    @property
    def is_nearly_unique(self) -> bool:
        """Return whether most records have a value of their own: a row of totals has none, a mistake has another's."""
        return self.is_measured and self.given > 0 and self.distinct >= 0.9 * self.given and self.given >= 0.8 * self.records


@dataclass
class Facts:
    """The columns of a file, in its order, and whose values lie in whose."""

    columns: tuple[ColumnFacts, ...]
    connection: duckdb.DuckDBPyConnection
    until: float = field(default_factory=lambda: time.monotonic() + SECONDS)
    _inside: dict[tuple[int, tuple[int, ...]], tuple[int, int]] = field(default_factory=dict)

    def inside(self, parent: int, among: Sequence[int]) -> float:
        """Return the share of a column's values that are values of one of the columns ``among``; 0.0 if that is not known."""
        found, given = self.counted_inside(parent, among)
        return found / given if given else 0.0

    def counted_inside(self, parent: int, among: Sequence[int]) -> tuple[int, int]:
        """Return (how many of a column's values are values of one of the columns ``among``, how many it has)."""
        key = (parent, tuple(among))
        if key not in self._inside:
            if len(self._inside) >= PAIRS or time.monotonic() > self.until:
                return 0, 0
            self._inside[key] = self._measured(parent, among)
        return self._inside[key]

    def _measured(self, parent: int, among: Sequence[int]) -> tuple[int, int]:
        if not (self.columns[parent].is_measured and self.columns[parent].given):
            return 0, 0
        value = f"trim({quoted(self.columns[parent].name)})"
        known = " or ".join(f"value in ({self._values(one)})" for one in among)
        none = ", ".join(map(literal, NO_PARENT_WORDS))
        ((found, given),) = self.connection.execute(
            f"""select count(*) filter (where {known}), count(*) filter (where {known} or lower(value) not in ({none}))
            from (select {value} as value from raw where {value} != '' limit {SAMPLE_ROWS})"""
        ).fetchall()
        return int(found), int(given)

    def _values(self, place: int) -> str:
        """Return the query of a column's values."""
        name = quoted(self.columns[place].name)
        return f"select trim({name}) from raw where {name} != ''"

    def values_outside(self, parent: int, among: Collection[int], words: Sequence[str]) -> tuple[str, ...]:
        """Return which of ``words`` are values of a column and of none of ``among``, as they are written."""
        value = f"trim({quoted(self.columns[parent].name)})"
        known = " and ".join(f"value not in ({self._values(one)})" for one in among)
        asked = ", ".join(map(literal, words))
        found = self.connection.execute(
            f"""select distinct value from (select {value} as value from raw)
            where value != '' and lower(value) in ({asked}) and {known or "true"} order by value limit 20"""
        ).fetchall()
        return tuple(str(one) for (one,) in found)


def measure(connection: duckdb.DuckDBPyConnection, names: Sequence[str], originals: Sequence[str], records: int) -> Facts:
    """Measure the columns of ``raw``; the ones after the first COLUMNS are only named."""
    found = [
        _column(connection, name, original, records) for name, original in list(zip(names, originals, strict=True))[:COLUMNS]
    ]
    rest = [ColumnFacts(name, original, records) for name, original in list(zip(names, originals, strict=True))[COLUMNS:]]
    return Facts((*found, *rest), connection)


def _column(connection: duckdb.DuckDBPyConnection, name: str, original: str, records: int) -> ColumnFacts:
    value = quoted(name)
    ((given, distinct, decimals, dates, longest, padded),) = connection.execute(
        f"""select count(*), count(distinct trim({value})),
            count(*) filter (where regexp_full_match(trim({value}), '[-+]?[0-9]+[.,][0-9]+')),
            count(*) filter (where regexp_full_match(trim({value}), {literal(_DATE)})),
            coalesce(max(length({value})), 0), count(*) filter (where {value} != trim({value}))
        from raw where trim({value}) != ''"""
    ).fetchall()
    first = connection.execute(
        f"""select left(trim({value}), {_CHARACTERS}) from raw where trim({value}) != ''
        group by trim({value}) order by min(_row) limit {SAMPLES}"""
    ).fetchall()
    none = connection.execute(
        f"""select distinct trim({value}) from raw where lower(trim({value})) in ({", ".join(map(literal, NONE_WORDS))})
        order by 1 limit 5"""
    ).fetchall()
    return ColumnFacts(
        *(name, original, records, given, distinct, decimals, dates, longest, padded),
        blanks=tuple(str(one) for (one,) in none),
        samples=tuple(str(one) for (one,) in first),
        is_measured=True,
    )


_DATE = r"[0-9]{1,4}[-/.][0-9]{1,2}[-/.][0-9]{1,4}.*"
