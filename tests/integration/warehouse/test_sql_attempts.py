"""The corpus of SQL over HTTP on PostgreSQL, for a key of everything and for a key of one dataset."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import psycopg
import pytest
from psycopg import errors as pg

from pipeline.ledger.api_keys import Role
from pipeline.settings import Settings
from pipeline.warehouse.dataset_roles import DatasetRole
from pipeline.warehouse.sql_reader import sql_url
from tests.support.http import Caller
from tests.support.sql_corpus import ATTEMPTS, LEGITIMATE
from web.app_context import AppContext

ONLY = DatasetRole(("records",))
SECRET = "literal of another reader"


@pytest.fixture
def callers(settings: Settings, edges: AppContext, app: Any, caller_for: Callable[[str], Caller]) -> dict[str, Caller]:
    """A reader of everything and a reader of ``records``; and a dataset's table that neither may know of."""
    with psycopg.connect(settings.database_url) as connection:
        connection.execute("create table warehouse.secret_dataset (id text, secret_column text)")
        connection.execute("revoke all on warehouse.secret_dataset from bulkhead_reader")
        connection.execute(
            'insert into warehouse.records (id, "parentId", name, attributes, _import_id, _row)'
            """ values ('a', null, 'A', '{"a": "x"}', gen_random_uuid(), 1), ('b', 'a', 'B', '{}', gen_random_uuid(), 2)"""
        )
    text, _ = edges.keys.create("of one", Role.READER, ONLY.datasets)
    return {"all": caller_for("reader"), "one": Caller(app.test_client(), text)}


@pytest.fixture
def busy_reader(settings: Settings, callers: dict[str, Caller]) -> Iterator[dict[str, int]]:
    """A session of each role, as another reader's would be, that has just run a query with a secret in it; their processes."""
    callers["one"].post("/v1/query", json={"sql": "select 1"})
    with (
        closing(psycopg.connect(sql_url(settings))) as of_all,
        closing(psycopg.connect(sql_url(settings, ONLY.name))) as of_one,
    ):
        for session in (of_all, of_one):
            session.execute(f"select '{SECRET}'")
        yield {"": of_all.info.backend_pid, ONLY.name: of_one.info.backend_pid}


@pytest.mark.parametrize("whose", ["all", "one"])
def test_no_attempt_gets_an_answer(callers: dict[str, Caller], busy_reader: dict[str, int], whose: str) -> None:
    for sql in ATTEMPTS:
        answer = callers[whose].post("/v1/query", json={"sql": sql})
        assert (answer.status_code, _said(answer)["code"]) == (400, "query_refused"), (sql, answer.text)
        assert not _tells(_said(answer)["detail"], sql), (sql, answer.text)


def _said(answer: Any) -> Any:
    return answer.json


def _tells(said: str, sql: str) -> list[str]:
    """Return the names in an answer that the key may not see and that were not in its query."""
    hidden = [SECRET, "secret_column", "secret_dataset", "bulkhead_reader_", "api_key", "alembic", "finding_no"]
    return [name for name in hidden if name in said and name not in sql]


@pytest.mark.parametrize("whose", ["all", "one"])
def test_analysts_get_theirs(callers: dict[str, Caller], whose: str) -> None:
    answers = {sql: callers[whose].post("/v1/query", json={"sql": sql}) for sql in LEGITIMATE}
    refused = [f"{sql}: {_said(answer)['detail']}" for sql, answer in answers.items() if answer.status_code != 200]
    assert not refused, "\n".join(refused)


def test_a_relation_without_a_grant_gets_the_same_answer_as_an_unknown_one(callers: dict[str, Caller]) -> None:
    for caller in callers.values():
        for before in ("", "warehouse."):
            hidden, unheard = (
                _said(caller.post("/v1/query", json={"sql": f"select * from {before}{name}"}))["detail"].replace(name, "...")
                for name in ("secret_dataset", "unheard_dataset")
            )
            assert hidden == unheard and "..." in hidden


@pytest.mark.parametrize("role", ["", ONLY.name], ids=["all", "one"])
def test_no_session_sees_what_another_of_its_role_asked(settings: Settings, busy_reader: dict[str, int], role: str) -> None:
    """At PostgreSQL itself, without our guard: the role keeps its queries to itself, and cannot change that."""
    with closing(psycopg.connect(sql_url(settings, role), autocommit=True)) as connection:
        seen = connection.execute("select query from pg_stat_activity where pid = %s", (busy_reader[role],)).fetchall()
        assert len(seen) == 1 and SECRET not in str(seen)
        everything = str(connection.execute("select * from pg_stat_activity").fetchall())
        everything += str(connection.execute("select * from pg_stat_get_activity(null)").fetchall())
        assert SECRET not in everything
        with pytest.raises(pg.InsufficientPrivilege):
            connection.execute("set track_activities = on")
