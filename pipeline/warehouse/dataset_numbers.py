"""Count a dataset's records, roots, depth and largest subtrees, and keep the numbers in the ledger for the pages.

A count goes through the whole table: about a minute at ten million records. It follows imports (with the refresh
of marts), delays none, and takes a small share of the database's time: the longer one takes, the later the next.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import Connection, Engine, text

from pipeline.adapters.postgres import may_take
from pipeline.adapters.postgres_errors import DATABASE_ERRORS, Kind, in_words, kind_of
from pipeline.datasets.dataset import Dataset
from pipeline.sqlfiles import load, quoted

log = structlog.get_logger()

PAUSE_SECONDS, REST = 10.0, 20.0
"""The next count begins so long after the last one, or so many times as long as that took: 5% of the time at most."""

LEVELS_MAX = 1000
"""Deeper records are not walked to: they count as unreachable, as in pipeline/warehouse/query/records.py."""

TOP_RECORDS, TOP_LEVELS = 500, 8
"""The largest subtrees that are kept for the picture: so many, and so many levels from the roots."""

WORK_MEMORY = "64MB"
"""For sorting and hashing within a count."""


@dataclass(frozen=True)
class TopRecord:
    """A record with many descendants. A root has depth 0."""

    id: str
    parent: str | None
    depth: int
    children: int
    descendants: int


@dataclass(frozen=True)
class DatasetNumbers:
    """The numbers of a dataset as of ``counted_at``; None: not counted yet. ``is_current``: nothing was loaded since."""

    dataset: str
    counted_at: datetime | None = None
    records: int | None = None
    roots: int | None = None
    depth: int | None = None
    unreachable: int | None = None
    error: str = ""
    is_current: bool = False


@dataclass(frozen=True)
class LastChecks:
    """The last audit of a dataset that succeeded, and the last import that was loaded or refused; None: there is none."""

    dataset: str
    audit_id: str | None = None
    audit_errors: int | None = None
    audit_warnings: int | None = None
    audited_at: datetime | None = None
    import_id: str | None = None
    import_state: str | None = None
    import_errors: int | None = None
    imported_at: datetime | None = None


class NumbersOfDatasets:
    """Counts datasets, and reads what was counted. Safe to share between threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def want(self, dataset: str) -> bool:
        """Note that a dataset is to be counted anew; return whether that may begin now."""
        with self._engine.begin() as connection:
            given = {"dataset": dataset, "pause": PAUSE_SECONDS, "rest": REST}
            return bool(connection.execute(text(load("queries/numbers/want")), given).scalar_one())

    def due(self, names: Sequence[str]) -> list[str]:
        """Return those of these datasets that are to be counted now."""
        given = {"names": list(names), "pause": PAUSE_SECONDS, "rest": REST}
        with self._engine.connect() as connection:
            return list(connection.execute(text(load("queries/numbers/due")), given).scalars())

    def of(self, names: Sequence[str]) -> dict[str, DatasetNumbers]:
        """Return the numbers of datasets by name; of one that was never counted they are None."""
        with self._engine.connect() as connection:
            rows = connection.execute(text(load("queries/numbers/get")), {"datasets": list(names)}).mappings()
            found = {row["dataset"]: DatasetNumbers(**row) for row in rows}
        return {name: found.get(name, DatasetNumbers(name)) for name in names}

    def last(self, names: Sequence[str]) -> dict[str, LastChecks]:
        """Return by name what last spoke of each dataset's problems: its last audit, and its last import."""
        with self._engine.connect() as connection:
            rows = connection.execute(text(load("queries/numbers/last")), {"datasets": list(names)}).mappings()
            return {row["dataset"]: LastChecks(**row) for row in rows}

    def top(self, dataset: str) -> list[TopRecord]:
        """Return the records with the most descendants at the last count, each after its parent."""
        with self._engine.connect() as connection:
            rows = connection.execute(text(load("queries/numbers/top")), {"dataset": dataset}).mappings()
            return [TopRecord(**row) for row in rows]

    def count(self, dataset: Dataset, *, seconds: float, beat: Callable[[], None] = lambda: None) -> None:
        """Count a dataset, each statement within ``seconds``, and keep the numbers. What fails is kept as a warning."""
        started = time.monotonic()
        with self._engine.begin() as connection:
            began = connection.execute(text(load("queries/numbers/begin")), {"dataset": dataset.name}).scalar_one()
        try:
            with self._engine.begin() as connection:
                connection.exec_driver_sql(may_take(seconds))
                connection.exec_driver_sql(f"set local work_mem = '{WORK_MEMORY}'")
                found, top = _Count(connection, dataset, beat).run()
                took = time.monotonic() - started
                _execute(connection, "keep", dataset=dataset.name, began=began, seconds=took, **found)
                _execute(connection, "forget_top", dataset=dataset.name)
                rows = [{"dataset": dataset.name, "place": place, **vars(one)} for place, one in enumerate(top)]
                if rows:
                    connection.execute(text(load("queries/numbers/keep_top")), rows)
        except DATABASE_ERRORS as error:
            why = in_words(error) if kind_of(error) is not Kind.DATA else "the database refused the query"
            log.warning("dataset not counted", dataset=dataset.name, why=why)
            with self._engine.begin() as connection:
                _execute(connection, "failed", dataset=dataset.name, error=why, seconds=time.monotonic() - started)


class _Count:
    """One count of a dataset, within a transaction. A walk down finds the depths, sums on the way back up the descendants."""

    def __init__(self, connection: Connection, dataset: Dataset, beat: Callable[[], None]) -> None:
        self._connection = connection
        self._beat = beat
        self._names = {
            "table": f"warehouse.{quoted(dataset.name)}",
            "key": quoted(dataset.key),
            "parent": quoted(dataset.parent),
        }

    def run(self) -> tuple[dict[str, int | None], list[TopRecord]]:
        """Return the numbers and the records with the most descendants."""
        totals = self._run("totals").mappings().one()
        self._run("parents")
        for name in ("parents_index", "parents_analyze", "levels", "levels_index", "below"):
            self._run(name)
        depth = self._walk()
        for level in range(depth, 0, -1):
            self._run("sum_level", depth=level)
        reached = self._run("reached").scalar_one()
        found = {
            "records": totals["records"],
            "roots": totals["roots"],
            "depth": (depth + 1 if depth >= 0 else 0) if totals["roots"] else None,
            "unreachable": totals["records"] - totals["roots"] - reached,
        }
        return found, self._top()

    def _walk(self) -> int:
        """Enter the records with children level by level; return the depth of the deepest, or -1 if there is none."""
        if not self._run("top_level").rowcount:
            return -1
        for depth in range(LEVELS_MAX):
            if not self._run("next_level", depth=depth).rowcount:
                return depth
        return LEVELS_MAX

    def _top(self) -> list[TopRecord]:
        top = [TopRecord(**row) for row in self._run("largest", levels=TOP_LEVELS, most=TOP_RECORDS).mappings()]
        if (left := TOP_RECORDS - len(top)) > 0:
            depths = {one.id: one.depth for one in top if one.depth < TOP_LEVELS - 1}
            leaves = self._run("leaves", parents=list(depths), most=left).mappings()
            found = [TopRecord(row["id"], row["parent"], depths.get(row["parent"], -1) + 1, 0, 0) for row in leaves]
            top += sorted(found, key=lambda one: (one.depth, one.id))[:left]
        return top

    def _run(self, name: str, **values: Any) -> Any:
        self._beat()
        return self._connection.execute(text(load(f"queries/numbers/{name}").format_map(self._names)), values)


def _execute(connection: Connection, name: str, **values: Any) -> None:
    connection.execute(text(load(f"queries/numbers/{name}")), values)
