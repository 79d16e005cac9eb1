"""Marts: views over a dataset's table; the materialized ones are refreshed after imports, by a workflow of their own.

An import notes that its dataset's marts are to be refreshed before it becomes final. A mart that cannot be refreshed keeps its
data; that is a warning on the imports that are missing in it, never an error of theirs.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import structlog
from psycopg.sql import SQL, Identifier
from sqlalchemy import Connection, Engine, text

from pipeline.adapters.postgres import driver_connection
from pipeline.adapters.postgres_errors import DATABASE_ERRORS, Kind, as_ours, in_words, kind_of, sqlstate_of
from pipeline.datasets.dataset import Dataset
from pipeline.sqlfiles import in_order, load, opening_comment
from pipeline.warehouse import dataset_roles

log = structlog.get_logger()

LOCK_SECONDS = 10
"""A refresh that has to wait longer for the readers of a mart is tried again later: new readers would wait behind it."""

_TOO_SLOW = "57014"


@dataclass(frozen=True)
class Mart:
    """A mart and the outcome of its last refresh. ``state`` is fresh, waiting, refreshing or failed."""

    name: str
    state: str
    refreshed_at: datetime | None
    error: str

    def to_json(self) -> dict[str, Any]:
        """Return the mart as the API shows it."""
        moment = self.refreshed_at
        return {**asdict(self), "refreshed_at": moment.isoformat().replace("+00:00", "Z") if moment else None}


class Marts:
    """Refresh the marts of one warehouse, and tell their states."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def want(self, dataset: str) -> bool:
        """Note that the marts of a dataset are to be refreshed; return False if it has none."""
        with self._engine.begin() as connection:
            if connection.execute(text(load("queries/marts/of_table")), {"dataset": dataset}).first() is None:
                return False
            connection.execute(text(load("queries/marts/want")), {"dataset": dataset})
        return True

    def due(self) -> list[str]:
        """Return the datasets whose marts are to be refreshed, if no refresh has begun since."""
        with self._engine.connect() as connection:
            return list(connection.execute(text(load("queries/marts/due"))).scalars())

    def states(self, dataset: str) -> list[Mart]:
        """Return the marts of a dataset, by name."""
        with self._engine.connect() as connection:
            rows = connection.execute(text(load("queries/marts/states")), {"dataset": dataset}).mappings()
            return [Mart(row["name"], row["state"], row["data_at"], row["error"]) for row in rows]

    def refresh(self, dataset: str, *, seconds: float, beat: Callable[[], None] = lambda: None) -> None:
        """Refresh the marts of a dataset, each within ``seconds``, and enter the outcome in the ledger.

        Raises Unreachable or NoSpace for what may pass by itself, once every mart was tried.
        """
        transient: BaseException | None = None
        with self._engine.begin() as connection:
            marts = connection.execute(text(load("queries/marts/of_table")), {"dataset": dataset}).all()
            began = connection.execute(text(load("queries/marts/begin")), {"dataset": dataset}).scalar_one()
        for mart in marts:
            beat()
            started, said = time.monotonic(), ""
            try:
                self._refresh(mart.name, concurrently=mart.is_readable_meanwhile, seconds=seconds)
            except DATABASE_ERRORS as error:
                said = _reason(mart.name, error, seconds)
                transient = error if kind_of(error) is Kind.TRANSIENT else transient
                log.warning("mart not refreshed", dataset=dataset, mart=mart.name, why=said)
            self._note(dataset, mart.name, began, time.monotonic() - started, said)
        if transient:
            raise as_ours(transient) from transient

    def _refresh(self, name: str, *, concurrently: bool, seconds: float) -> None:
        with self._engine.begin() as connection:
            connection.exec_driver_sql(f"set local statement_timeout = {int(seconds * 1000)}")
            connection.exec_driver_sql(f"set local lock_timeout = {LOCK_SECONDS * 1000}")
            how = "concurrently " if concurrently else ""
            connection.exec_driver_sql(f'refresh materialized view {how}warehouse."{name}"')

    def _note(self, dataset: str, name: str, began: datetime, seconds: float, error: str) -> None:
        given = {"dataset": dataset, "name": name, "began": began, "seconds": seconds, "error": error}
        with self._engine.begin() as connection:
            connection.execute(text(load("queries/marts/tried")), given)


def _reason(name: str, error: BaseException, seconds: float) -> str:
    """Return why a mart could not be refreshed, and what to do."""
    if sqlstate_of(error) == _TOO_SLOW:
        why = f"it takes longer than the {seconds:g} seconds of BULKHEAD_MART_SECONDS. Make its query faster, or raise that"
    elif kind_of(error) is Kind.DATA:  # the message may quote a value that a reader of only one of its datasets may not see
        words = re.sub(r'"[^"]*"', '"…"', in_words(error))
        why = f"{words}. Mend sql/marts/{name}.sql and run bulkhead migrate, or mend the records by another import"
    elif kind_of(error) is Kind.TRANSIENT:
        why = f"{in_words(error)}. It will be tried again"
    else:
        why = f"{in_words(error)}. Mend sql/marts/{name}.sql and run bulkhead migrate"
    return f"The mart {name} could not be refreshed: {why}."


def tree_view(dataset: Dataset) -> tuple[str, str]:
    """Return the name and the SELECT of the view that each dataset has, unless a file in sql/marts/ has its name."""
    places = {
        "table": Identifier("warehouse", dataset.name),
        "key": Identifier(dataset.key),
        "parent": Identifier(dataset.parent),
    }
    return f"{dataset.name}_tree", SQL(load("queries/tree_view/select")).format(**places).as_string(None)


def make_tree_views(connection: Connection, datasets: Sequence[Dataset], root: Path) -> list[str]:
    """Create or renew the tree view of each dataset that has a table, where the name is free; return in words what they are."""
    files, names = {path.stem for path in in_order(root / "sql" / "marts")}, {one.name for one in datasets}
    made = []
    for dataset in datasets:
        name, query = tree_view(dataset)
        if name not in files and name not in names and _is_free(connection, name):
            made.append(make_mart(connection, name, query))
    return made


def _is_free(connection: Connection, name: str) -> bool:
    """Return whether there is nothing of that name in the warehouse but a view of ours."""
    kind = connection.execute(text(load("queries/definitions/taken")), {"name": name}).scalar()
    there = connection.execute(text(load("queries/marts/definition")), {"name": name}).first()
    return kind is None or (there is not None and str(there.comment).startswith(_TREE_COMMENT))


_TREE_COMMENT = "-- tree_view/select:"


def make_mart(connection: Connection, name: str, query: str) -> str:
    """Create a mart from its SELECT, or renew it if that has changed; return in words what it is.

    The opening comment says whether it is a materialized view.
    """
    wanted = "materialized view" if _is_materialized(query) else "view"
    there = connection.execute(text(load("queries/marts/definition")), {"name": name}).first()
    comment = query.strip()
    if there is None or (there.kind, there.comment) != (wanted, comment):
        if there is not None:
            dataset_roles.clear(driver_connection(connection))
            connection.exec_driver_sql(f'drop {there.kind} warehouse."{name}"')
        connection.exec_driver_sql(f'create {wanted} warehouse."{name}" as {query}')
        connection.execute(text("delete from ledger.mart where name = :name"), {"name": name})  # it is up to date now
        for columns in _unique_columns(query) if wanted == "materialized view" else []:
            connection.exec_driver_sql(f'create unique index on warehouse."{name}" ({columns})')
        quoted = comment.replace("'", "''")
        connection.exec_driver_sql(f"comment on {wanted} warehouse.\"{name}\" is '{quoted}'")
    return f"{wanted} warehouse.{name}"


def _is_materialized(query: str) -> bool:
    return "materialized: true" in opening_comment(query)


def _unique_columns(query: str) -> list[str]:
    """Return what the lines ``-- unique: column, ...`` of a mart's opening comment name.

    A materialized view with a unique index can be read while it is refreshed.
    """
    named = [line.removeprefix("unique:") for line in opening_comment(query) if line.startswith("unique:")]
    return [", ".join(f'"{column.strip()}"' for column in line.split(",")) for line in named]
