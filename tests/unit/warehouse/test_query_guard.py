"""What people's own SQL may say; what the database itself denies is tested in integration/test_web_sql.py."""

from __future__ import annotations

import re
import time
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.warehouse.query import QueryRefused, guarded
from pipeline.warehouse.query.lexemes import lexemes
from tests.support.sql_corpus import ATTEMPTS, LEGITIMATE, SINCE_17

DENIED = [
    # not a query
    "",
    ";",
    "-- nothing",
    "insert into records (id) values ('x')",
    "update records set name = ''",
    "delete from records",
    "merge into records using places on false when matched then delete",
    "truncate records",
    "drop table records",
    "alter table records add column x int",
    "create table x (id int)",
    "create table x as select 1",
    "create temporary view x as select 1",
    "create function f() returns int language sql as 'select 1'",
    "grant all on records to public",
    "copy records to stdout",
    "copy records to program 'rm -rf /'",
    "do $$ begin perform 1; end $$",
    "call p()",
    "begin",
    "commit",
    "set statement_timeout = 0",
    "set role bulkhead",
    "reset all",
    "show all",
    "listen x",
    "notify x",
    "vacuum",
    "analyze",
    "explain select 1",
    "explain analyze delete from records",
    "lock table records",
    "prepare p as select 1",
    "execute p",
    "declare c cursor for select 1",
    "refresh materialized view places_tree",
    "values (1)",
    # more than one
    "select 1; select 2",
    "select 1; drop table records",
    "select 1;; delete from records",
    # a query that acts
    "with gone as (delete from records returning *) select * from gone",
    "with made as (insert into records (id) values ('x') returning *) select * from made",
    "select * into stolen from records",
    "select * from records for update",
    "select * from records for share skip locked",
    # functions that act, or look where nobody should
    "select pg_sleep(1)",
    "select PG_SLEEP(1)",
    'select "pg_sleep"(1)',
    "select pg_catalog.pg_sleep(1)",
    "select * from pg_sleep(1)",
    "select (select pg_terminate_backend(1))",
    "select 1 where pg_cancel_backend(1)",
    "select pg_advisory_lock(1)",
    "select pg_try_advisory_xact_lock(727074001)",
    "select pg_notify('a', 'b')",
    "select pg_read_file('/etc/passwd')",
    "select pg_ls_dir('/')",
    "select set_config('statement_timeout', '0', false)",
    "select current_setting('data_directory')",
    "select lo_import('/etc/passwd')",
    "select lo_get(1)",
    "select * from dblink('', 'select 1') as t (x int)",
    "select nextval('ledger.move_seq_seq')",
    "select query_to_xml('delete from records', true, true, '')",
    "select table_to_xml('access.api_key', true, true, '')",
    "select database_to_xml(true, true, '')",
    "select inet_server_addr()",
    "select has_table_privilege('access.api_key', 'select')",
    "select no_such_function(1)",
    "select a.b.c(1)",
    "select id from records order by pg_sleep(1)",
    "select count(*) filter (where pg_sleep(1) is null) from records",
    "select * from records, lateral pg_sleep(1)",
    "select case when true then pg_sleep(1) end",
    # tables that are nobody's business
    "select * from access.api_key",
    "select * from ledger.import",
    "select * from pg_catalog.pg_authid",
    "select * from pg_authid",
    "select * from pg_stat_activity",
    "table pg_shadow",
    "select * from bulkhead.warehouse.records",
    "select * from public.alembic_version",
    "select (select secret_hash from access.api_key limit 1)",
    # not to be understood
    "select * from",
    "selec * from records",
    "select '",
    "select $1",
    "select :name",
    "select \0",
    "select " + "(" * 200 + "1" + ")" * 200,
    "select " + "1+" * 15_000 + "1",
    "select a" + "[1]" * 5_000,
    "select " + "not " * 3_900 + "true",
]


@pytest.mark.parametrize("sql", DENIED, ids=lambda sql: repr(sql[:50]))
def test_denied(sql: str) -> None:
    with pytest.raises(QueryRefused) as caught:
        guarded(sql)
    assert len(str(caught.value)) > 15
    assert "Traceback" not in str(caught.value)


ALLOWED = [
    "select * from records",
    "select * from warehouse.records limit 3",
    "select id from places union all select id from records order by 1",
    "(select 1) intersect (select 2)",
    "with recursive t as (select id from records union select r.id from records r join t on r.name = t.id) select * from t",
    "select count(*), min(name), string_agg(id, ',' order by id), jsonb_agg(attributes -> 'x') from records",
    "select attributes ->> 'x', attributes #>> '{a,b}', attributes @> '{}', attributes ? 'x' from records",
    "select row_number() over (partition by name order by id) from records",
    "select percentile_cont(0.5) within group (order by _row) from records",
    "select date_trunc('day', _loaded_at), now() - interval '1 day', extract(epoch from now()) from records",
    "select * from generate_series(1, 3) as n",
    "select k, v from records, jsonb_each_text(attributes) as e (k, v)",
    "select * from records r cross join lateral (select * from records c where c.name = r.id limit 3) c",
    "select case when true then 1 else 2 end, coalesce(null, 1), 1::numeric(10, 2), cast('x' as text), array[1, 2]",
    "select id ~ 'x', id ilike 'y', id in (select id from places), exists (select 1), id = any (array['a']) from records",
    "select lower(name), upper(name), substring(name from 1 for 2), trim(name), position('a' in name) from records",
    "select 'a;b', $$ ; $$, E'\\'', \"name\" from records -- a remark; with a semicolon",
    "select * from information_schema.columns",
    "select table_name from information_schema.tables where table_schema = 'warehouse'",
    "select * from places_tree where depth = 2",
    "select width_bucket(5, 0, 10, 5), regexp_replace('a', 'b', 'c'), md5('x'), round(1.5), greatest(1, 2)",
    "select name from records tablesample system (10)",
]


@pytest.mark.parametrize("sql", ALLOWED)
def test_allowed(sql: str) -> None:
    assert guarded(sql) == sql.partition(" --")[0]


@pytest.mark.parametrize(
    ("sql", "query"),
    [
        ("select parentId from records", 'select "parentId" from records'),
        ("select PARENTID, parentid, ParentId", 'select "parentId", "parentId", "parentId"'),
        ("select r.parentId from records r", 'select r."parentId" from records r'),
        ('select "parentId", "parentid"', 'select "parentId", "parentid"'),
        ("select 'parentId', $$parentId$$", "select 'parentId', $$parentId$$"),
        ("select 1 /* parentId */ + 1", "select 1 /* parentId */ + 1"),
        ("select parentIdentity, my_parentId", "select parentIdentity, my_parentId"),
        ("select 1 as parentId;", 'select 1 as "parentId"'),
        ("  select 1 ; ; ", "  select 1"),
        ("select 'ü', parentId, 'ü'", "select 'ü', \"parentId\", 'ü'"),
    ],
)
def test_parent_id_in_any_case(sql: str, query: str) -> None:
    assert guarded(sql) == query


@pytest.mark.parametrize(
    ("sql", "query"),
    [
        ("select * from warehouse.records", "select * from records"),
        ('select warehouse.records.id from "warehouse" . "records"', 'select records.id from  "records"'),
        ("select 'warehouse.records', $$warehouse.x$$ -- warehouse.y", "select 'warehouse.records', $$warehouse.x$$"),
        ("select warehouse from warehouse", "select warehouse from warehouse"),
        ("select parentId from warehouse.records;", 'select "parentId" from records'),
        ("select * from information_schema.tables", "select * from information_schema.tables"),
    ],
)
def test_a_role_of_some_datasets_knows_them_by_bare_names(sql: str, query: str) -> None:
    assert guarded(sql, granted=True) == query


@pytest.mark.parametrize(
    "sql",
    [
        "select * from bulkhead.warehouse.records",
        "select * from ledger.import",
        "delete from warehouse.x",
        "select * from information_schema.udt_privileges",
    ],
)
def test_what_is_denied_stays_so(sql: str) -> None:
    with pytest.raises(QueryRefused):
        guarded(sql, granted=True)


RELATIONS = frozenset(("records", "places", "import_findings"))


@pytest.mark.parametrize("granted", [False, True], ids=["full", "granted"])
def test_nothing_of_the_corpus_gets_by(granted: bool) -> None:
    let_by = [sql for sql in ATTEMPTS if _may(sql, granted=granted, relations=RELATIONS)]
    assert let_by == [] and len(ATTEMPTS) > 250


def test_without_knowing_the_relations_only_unknown_ones_are_left_to_postgresql() -> None:
    let_by = [sql for sql in ATTEMPTS if _may(sql, granted=False, relations=None)]
    assert let_by == ["select * from nothing_of_the_kind", "select * from warehouse.secret_dataset_of_old"]


@pytest.mark.parametrize("granted", [False, True], ids=["full", "granted"])
def test_what_analysts_write_is_let_by(granted: bool) -> None:
    for sql in (*LEGITIMATE, *SINCE_17):
        assert guarded(sql, granted=granted, relations=RELATIONS)


def _may(sql: str, **options: Any) -> bool:
    try:
        guarded(sql, **options)
    except QueryRefused as error:
        assert len(str(error)) > 15 and "Traceback" not in str(error)
        return False
    return True


@pytest.mark.parametrize(
    ("sql", "visible"),
    [
        ("with x as (select 1) select * from x", True),
        ("with x as (select 1), y as (select * from x) select * from y", True),
        ("with y as (select * from x), x as (select 1) select * from y", False),
        ("with x as (select * from x) select * from x", False),
        ("with recursive x as (select 1 union all select * from x) select * from x", True),
        ("with recursive y as (select * from x), x as (select 1) select * from y", True),
        ("select * from x where exists (with x as (select 1) select 1 from x)", False),
        ("select 1 where exists (with x as (select 1) select 1 from x)", True),
        ("with x as (select 1) select (select (select count(*) from x))", True),
        ("with a as (with x as (select 1) select 1 from x) select * from a, x", False),
        ("with x as (select 1) select 1 union select * from x", True),
        ("(with x as (select 1) select * from x) union select * from x", False),
        ("with x as (select 1) select * from records r, lateral (select * from x) l", True),
        ('with "X" as (select 1) select * from x', False),
        ('with X as (select 1) select * from "x"', True),
        ("with x as (select 1) select * from warehouse.x", False),
    ],
)
def test_a_cte_is_known_where_postgresql_sees_it(sql: str, visible: bool) -> None:
    if visible:
        assert guarded(sql, relations=RELATIONS) == sql
    else:
        with pytest.raises(QueryRefused, match='Relation "x" does not exist'):
            guarded(sql, relations=RELATIONS)


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        (
            "select * from recrods",
            'Relation "recrods" does not exist. Did you mean records? There are: import_findings, places, records.',
        ),
        ("select pg_size('x')", "pg_size is a system name of PostgreSQL"),
        ("select lenght(id) from records", "The function lenght() is not allowed. Did you mean length?"),
        ("select 1::bigintt", "A cast to bigintt is not allowed. Did you mean bigint?"),
        ("select current_user", "current_user is not allowed: it is about the session"),
    ],
)
def test_a_refusal_says_what_and_what_instead(sql: str, said: str) -> None:
    with pytest.raises(QueryRefused, match=re.escape(said)):
        guarded(sql, relations=RELATIONS)


def test_a_long_query_is_looked_at_in_no_time() -> None:
    digits = "select " + "1," * 1900 + "9" * 15_000
    began = time.process_time()
    guarded(digits)
    assert time.process_time() - began < 5


@given(st.text(alphabet="'\"$aE\\ \n-/*()1;U&", max_size=60))
def test_lexemes_cover_what_they_are_cut_from(sql: str) -> None:
    try:
        found = lexemes(sql)
    except ValueError:
        return
    assert all(before.end <= after.start for before, after in pairwise(found))
    assert all(one.start < one.end for one in found)


@given(st.text(max_size=200))
def test_whatever_is_typed_is_answered_in_words(sql: str) -> None:
    try:
        assert isinstance(guarded(sql), str)
    except QueryRefused as error:
        assert str(error)
