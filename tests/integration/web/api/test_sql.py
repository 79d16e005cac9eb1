"""People's own SQL over HTTP: answers, limits, and a database that denies what the guard might let through."""

from __future__ import annotations

import io
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import psutil
import psycopg
import pyarrow.parquet as pq
import pytest
from psycopg import errors as pg

from pipeline.adapters.postgres import connect
from pipeline.contracts.states import State
from pipeline.settings import Settings
from pipeline.warehouse.query import Console, QueryRefused, QueryStopped, ResultTooLarge
from pipeline.warehouse.query import console as console_module
from pipeline.warehouse.sql_reader import sql_url
from tests.support.sql_statements import DENIED, SLOW
from web.app_context import AppContext


def ask(api: Any, sql: str, path: str = "/v1/query", **body: Any) -> Any:
    return api.post(path, json={"sql": sql, **body})


@pytest.fixture
def api(caller_for: Callable[[str], Any], settings: Settings) -> Any:
    """A reader, and three records."""
    with psycopg.connect(settings.database_url) as connection:
        connection.execute(
            'insert into warehouse.records (id, "parentId", name, attributes, _import_id, _row) values'
            """ ('a', null, 'A', '{"n": 1.5}', gen_random_uuid(), 1), ('b', 'a', '<b>', '{}', gen_random_uuid(), 2),"""
            " ('c', 'a', null, '[1, null]', gen_random_uuid(), 3)"
        )
    return caller_for("reader")


@pytest.mark.all_versions
def test_an_answer(api: Any) -> None:
    answer = ask(api, "SELECT id, parentid, name, attributes FROM records WHERE PARENTID = 'a' ORDER BY id;")
    assert answer.status_code == 200
    assert answer.json["columns"] == [
        {"name": "id", "type": "text"},
        {"name": "parentId", "type": "text"},
        {"name": "name", "type": "text"},
        {"name": "attributes", "type": "jsonb"},
    ]
    assert answer.json["rows"] == [["b", "a", "<b>", {}], ["c", "a", None, [1, None]]]
    assert answer.json["truncated"] is False
    assert 0 < answer.json["seconds"] < 5


@pytest.mark.all_versions
def test_values_of_every_kind(api: Any) -> None:
    sql = """select 1 as i, 1.50::numeric as n, 0.1::numeric + 1e-30 as exact, 12345678901234567890123::numeric as huge,
        'NaN'::float8 as nan, true as b, null as nothing, '2024-05-31'::date as d, '2024-05-31 12:00+02'::timestamptz as t,
        array[1, null] as a, '{"x": [1.5]}'::jsonb as j, '\\xff'::bytea as bin, interval '1 day 1 second' as v, 1 as i"""
    row = ask(api, sql).json["rows"][0]
    exact = "0.100000000000000000000000000001"
    assert row[:8] == [1, 1.5, exact, "12345678901234567890123", "nan", True, None, "2024-05-31"]
    assert row[8:] == ["2024-05-31T10:00:00+00:00", [1, None], {"x": [1.5]}, "\\xff", "1 day, 0:00:01", 1]


def test_findings_of_imports(api: Any, edges: AppContext, settings: Settings) -> None:
    import_id = str(uuid.uuid4())
    edges.ledger.imports.open(import_id, dataset="places", filename="a.csv", bucket="b", key="k", state=State.QUEUED)
    with psycopg.connect(settings.database_url) as connection:
        connection.execute(
            "insert into ledger.finding (import_id, finding_no, code, severity, message)"
            " select %s, n, 'c' || n %% 2, 'error', 'Wrong.' from generate_series(1, 5) as n",
            (import_id,),
        )
    answer = ask(api, f"select code, count(*) from import_findings where import_id = '{import_id}' group by code order by code")
    assert answer.json["rows"] == [["c0", 2], ["c1", 3]]
    assert ask(api, "select distinct dataset, filename from import_findings").json["rows"] == [["places", "a.csv"]]
    assert ask(api, "select * from ledger.finding").status_code == 400


def test_the_order_is_kept(api: Any) -> None:
    rows = ask(api, "select n from generate_series(1, 5000) as n order by n % 7, n desc").json["rows"]
    assert [row[0] for row in rows] == sorted(range(1, 5001), key=lambda n: (n % 7, -n))


def test_limits_of_rows(api: Any, edges: AppContext) -> None:
    assert len(ask(api, "select * from records", limit=2).json["rows"]) == 2
    assert ask(api, "select * from records", limit=2).json["truncated"] is True
    assert ask(api, "select * from records", limit=3).json["truncated"] is False
    most = ask(api, "select * from generate_series(1, 10000000)").json
    assert (len(most["rows"]), most["truncated"]) == (edges.console.rows_max, True)
    assert ask(api, "select 1", limit=0).json["code"] == "invalid_parameter"
    assert ask(api, "select 1 where false").json["rows"] == []


def test_limits_of_bytes(api: Any) -> None:
    before = psutil.Process().memory_info().rss
    answer = ask(api, "select repeat('x', 20000000)")
    assert (answer.status_code, answer.json["code"]) == (400, "query_too_large")
    assert "262,144 bytes" in answer.json["detail"]
    answer = ask(api, "select repeat('x', 200000) from generate_series(1, 10000)")
    assert answer.json["truncated"] is True
    assert len(answer.json["rows"]) == 83  # of 200 kB each, in 16 MiB
    assert psutil.Process().memory_info().rss - before < 150 << 20


def test_as_files(api: Any) -> None:
    sql = "select id, name, attributes, 1.5::numeric as n, id from records order by id"
    as_csv = ask(api, sql, "/v1/query?format=csv")
    lines = ["id,name,attributes,n,id", 'a,A,"{""n"":1.5}",1.5,a', "b,<b>,{},1.5,b", 'c,,"[1,null]",1.5,c', ""]
    assert as_csv.text.split("\r\n") == lines
    assert as_csv.headers["Content-Disposition"] == 'attachment; filename="query.csv"'
    assert as_csv.headers["X-Truncated"] == "false"
    table = pq.read_table(io.BytesIO(ask(api, sql, "/v1/query?format=parquet").data))
    assert table.column_names == ["id", "name", "attributes", "n", "id_4"]
    assert table["name"].to_pylist() == ["A", "<b>", None]
    assert table["attributes"].to_pylist() == ['{"n":1.5}', "{}", "[1,null]"]
    assert ask(api, sql, "/v1/query?format=xml").json["code"] == "invalid_parameter"


def test_what_is_wrong_is_said(api: Any) -> None:
    for sql, words in (
        ("select nme from records", 'column "nme" does not exist'),
        ("select * from recrods", 'relation "recrods" does not exist'),
        ("select 1/0", "Division by zero"),
        ("select 'x'::int", "invalid input syntax for type integer"),
        ("delete from records", "Only a SELECT"),
    ):
        answer = ask(api, sql)
        assert (answer.status_code, answer.json["code"]) == (400, "query_refused")
        assert words.lower() in answer.json["detail"].lower()
        assert "LINE 1" not in answer.text
    for body in ({}, {"sql": 1}, {"sql": "select 1", "params": []}):
        assert api.post("/v1/query", json=body).json["code"] == "invalid_parameter"
    assert api.post("/v1/query", data="x" * (2 << 20), content_type="application/json").status_code in (413, 422)


# --- time ---


WAITS = "select pg_sleep(60)"


@pytest.mark.all_versions
def test_too_slow(hasty: Console) -> None:
    began = time.monotonic()
    with pytest.raises(QueryStopped, match=r"after 0\.5 seconds"):
        hasty.run(SLOW)
    assert time.monotonic() - began < 30


@pytest.mark.parametrize(
    "sql",
    [
        f"select set_config('statement_timeout', '0', true), ({SLOW})",
        f"select * from (select set_config('statement_timeout', '0', false) offset 0) a, ({WAITS} offset 0) b",
        "select n, set_config('statement_timeout', '0', true), pg_sleep(0.02) from generate_series(1, 100000) n",
    ],
)
@pytest.mark.all_versions
def test_a_limit_that_was_lifted_from_inside_holds_from_outside(
    hasty: Console, sql: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console_module, "guarded", lambda sql, **_: sql)  # as if the guard had been fooled
    began = time.monotonic()
    with pytest.raises(QueryStopped):
        hasty.run(sql)
    assert time.monotonic() - began < 30


def test_what_one_query_sets_the_next_does_not_see(hasty: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console_module, "guarded", lambda sql, **_: sql)
    hasty.run("select set_config('search_path', 'pg_temp', false), set_config('statement_timeout', '0', false)")
    monkeypatch.undo()
    assert hasty.run("select count(*) from records").rows == [(0,)]
    with pytest.raises(QueryStopped):
        hasty.run(SLOW)


def test_slow_users_cost_the_others_little(hasty: Console) -> None:
    with ThreadPoolExecutor(6) as pool:
        slow = [pool.submit(hasty.run, SLOW) for _ in range(5)]
        began = time.monotonic()
        assert hasty.run("select 1").rows == [(1,)]
        assert time.monotonic() - began < 30
        assert all(isinstance(one.exception(), QueryStopped) for one in slow)


def test_too_much(hasty: Console) -> None:
    with pytest.raises((ResultTooLarge, QueryStopped)):
        hasty.run("select count(*) from (select n, md5(n::text) from generate_series(1, 100000000) n order by 2) x")


def test_what_a_query_may_take_of_memory_is_bounded(settings: Settings) -> None:
    engine = connect(sql_url(settings), pool_size=1)
    array = "select sum(length(t)) from (select unnest(array_agg(repeat('x', 1000000))) as t from generate_series(1, {})) x"
    console = Console(engine, seconds=30.0, rows_max=10)
    assert console.run(array.format(100)).rows == [(100_000_000,)]
    with closing(psycopg.connect(settings.database_url, autocommit=True)) as other:
        with pytest.raises(ResultTooLarge, match="memory"):
            console.run(array.format(3000))
        assert other.execute("select 1").fetchone() == (1,), "the server did not restart"
    engine.dispose()


# --- what PostgreSQL itself denies, with the guard out of the way ---


@pytest.mark.parametrize("sql", DENIED)
def test_denied_by_the_database(hasty: Console, settings: Settings, sql: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console_module, "guarded", lambda sql, **_: sql)
    with pytest.raises(QueryRefused):
        hasty.run(sql)
    with psycopg.connect(settings.database_url) as connection:
        assert connection.execute("select count(*) from warehouse.records").fetchone() == (0,)


@pytest.mark.all_versions
def test_the_role_may_not_write_even_without_the_transaction(settings: Settings) -> None:
    with closing(psycopg.connect(sql_url(settings), autocommit=True)) as connection:
        connection.execute("set default_transaction_read_only = off")
        for sql in (
            "insert into warehouse.records (id, _import_id, _row) values ('x', gen_random_uuid(), 1)",
            "create table warehouse.x (i int)",
            "create table public.x (i int)",
            "create schema x",
            "create temporary table x (i int)",
            "alter table warehouse.records owner to bulkhead_reader",
            "copy warehouse.records to program 'true'",
        ):
            with pytest.raises((pg.InsufficientPrivilege, pg.InvalidSchemaName)):
                connection.execute(sql)
