"""Keys that are for some datasets only, and the SQL of theirs: a role that PostgreSQL keeps from everything else."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from typing import Any

import psycopg
import pytest
from flask.testing import FlaskClient
from psycopg import errors as pg
from psycopg.sql import SQL, Identifier
from sqlalchemy import make_url

from pipeline.contracts.states import State
from pipeline.errors import InvalidRequest, NotReady
from pipeline.ledger.api_keys import ApiKeys, Role
from pipeline.settings import Settings
from pipeline.warehouse import dataset_roles, sql_reader
from pipeline.warehouse.dataset_roles import DatasetRole
from pipeline.warehouse.migrate import migrate
from pipeline.warehouse.query import QueryRefused, QueryStopped
from pipeline.warehouse.query import console as console_module
from pipeline.warehouse.query.sql_logins import SQL_AT_ONCE, SqlLogin
from pipeline.warehouse.sql_reader import sql_url
from tests.support.html_page import Page
from tests.support.http import Caller
from tests.support.sql_statements import DENIED, SLOW
from web.app_context import AppContext

OURS = DatasetRole(("records",))


# --- keys ---


def test_a_key_is_for_some_datasets_or_for_all(keys: ApiKeys) -> None:
    text, key = keys.create("me", Role.READER, ["records", "places", "records"])
    assert key.datasets == ("places", "records")
    assert key.to_json()["datasets"] == ["places", "records"]
    found = keys.check(text)
    assert found is not None and found.sees("places") and not found.sees("others")
    redeemed = keys.redeem(keys.sign_in_token(key.id))
    assert redeemed is not None and redeemed.datasets == key.datasets
    _, other = keys.create("you", Role.READER)
    assert other.datasets is None and other.sees("whatever comes") and other.to_json()["datasets"] is None


@pytest.mark.parametrize(
    ("role", "datasets", "said"), [("admin", ["places"], "An admin sees every"), ("reader", [], "at least")]
)
def test_an_admin_key_with_datasets_and_a_key_with_none_are_refused(
    keys: ApiKeys, role: str, datasets: list[str], said: str
) -> None:
    with pytest.raises(InvalidRequest, match=said):
        keys.create("me", role, datasets)
    assert keys.list() == []


def test_the_database_holds_to_it_too(settings: Settings) -> None:
    insert = "insert into access.api_key (id, name, role, secret_hash, datasets) values (gen_random_uuid(), 'x', %s, '', %s)"
    with psycopg.connect(settings.database_url, autocommit=True) as connection:
        for role, datasets in (("admin", ["places"]), ("reader", [])):
            with pytest.raises(pg.CheckViolation):
                connection.execute(insert, (role, datasets))


def test_over_http(caller_for: Callable[[str], Caller], app: Any) -> None:
    admin = caller_for("admin")
    made = admin.post("/v1/keys", json={"name": "n", "role": "uploader", "datasets": ["places"]})
    assert (made.status_code, made.json["datasets"]) == (201, ["places"])
    assert [one["datasets"] for one in admin.get("/v1/keys").json["items"]] == [["places"], None]
    one = Caller(app.test_client(), made.json["key"])
    assert [item["name"] for item in one.get("/v1/datasets").json["items"]] == ["places"]
    for body, code in (
        ({"role": "admin", "datasets": ["places"]}, "unusable"),
        ({"datasets": ["no_such"]}, "unknown_dataset"),
        ({"datasets": []}, "invalid_parameter"),
        ({"datasets": "places"}, "invalid_parameter"),
    ):
        assert admin.post("/v1/keys", json={"name": "n", **body}).json["code"] == code
    assert len(admin.get("/v1/keys").json["items"]) == 2


def test_on_the_page(browser: FlaskClient, keys: ApiKeys) -> None:
    def make(**fields: Any) -> Any:
        token = Page(browser.get("/admin/keys").text).field("csrf_token")
        return browser.post("/admin/keys", data={"csrf_token": token, "name": "n", "role": "reader", **fields})

    made = make(dataset=["records", "places"])
    assert made.status_code == 201
    assert keys.list()[0].datasets == ("places", "records")
    assert "places, records" in Page(made.text).text
    assert make().status_code == 201 and keys.list()[0].datasets is None
    refused = make(role="admin", dataset=["places"])
    assert refused.status_code == 400 and "An admin sees every dataset" in refused.text
    refused = make(dataset=["<b>"])
    assert refused.status_code == 400 and "There is no dataset" in refused.text and "<b>" not in refused.text
    assert len(keys.list()) == 3


# --- SQL ---


@pytest.fixture
def filled(settings: Settings, edges: AppContext) -> Settings:
    """A record and a finding in each of two datasets."""
    with psycopg.connect(settings.database_url) as connection:
        for name, columns in (("records", ""), ("places", ", name, kind")):
            import_id = str(uuid.uuid4())
            edges.ledger.imports.open(import_id, dataset=name, filename=f"{name}.csv", bucket="b", key=name, state=State.QUEUED)
            connection.execute(
                f"insert into warehouse.{name} (id, _import_id, _row{columns})"
                f" values ('secret of {name}', %s, 1{', %s, %s' if columns else ''})",
                (import_id, "n", "k") if columns else (import_id,),
            )
            connection.execute(
                "insert into ledger.finding (import_id, finding_no, code, severity, message, value, id)"
                " values (%s, 1, 'c', 'error', 'Wrong.', %s, 'x')",
                (import_id, f"secret of {name}"),
            )
        connection.execute("refresh materialized view warehouse.places_tree")
    return settings


@pytest.fixture
def ours(filled: Settings, edges: AppContext) -> SqlLogin:
    """The SQL of those who may see the dataset records alone."""
    return edges.sql_logins.of(OURS.datasets)


@pytest.mark.all_versions
def test_what_is_granted_can_be_read_by_any_of_its_names(ours: SqlLogin) -> None:
    for table in ("records", "warehouse.records", '"warehouse"."records"', "WAREHOUSE . records"):
        assert ours.console.run(f"select {table}.id from {table}").rows == [("secret of records",)], table
    assert ours.console.run("select dataset, value from warehouse.import_findings").rows == [("records", "secret of records")]
    assert ours.console.plan("select * from records")[0].startswith("Seq Scan on records")
    tables = {table.name: [column.name for column in table.columns] for table in ours.catalog.tables()}
    assert list(tables) == ["import_findings", "records", "records_tree"]
    assert tables["records"] == ["id", "parentId", "name", "attributes", "_import_id", "_row", "_loaded_at"]


@pytest.mark.all_versions
def test_a_mart_is_granted_with_all_that_it_reads(ours: SqlLogin, edges: AppContext) -> None:
    reader = edges.sql_logins.of(("places",))
    assert reader.console.run("select id from places_tree").rows == [("secret of places",)]
    with pytest.raises(QueryRefused, match='"places_tree" does not exist'):
        ours.console.run("select * from places_tree")
    assert "places_tree" in [table.name for table in edges.sql_logins.of(("places", "records")).catalog.tables()]


def test_a_mart_over_a_mart_and_over_two_datasets(filled: Settings, edges: AppContext) -> None:
    with psycopg.connect(filled.database_url) as connection:
        connection.execute("create view warehouse.above as select id from warehouse.places_tree")
        connection.execute(
            "create view warehouse.both as select id from warehouse.above union select id from warehouse.records"
        )
        connection.execute("create view warehouse.of_nothing as select 1 as one")
        connection.execute("create function public.f() returns bigint language sql as 'select count(*) from warehouse.records'")
        connection.execute("create view warehouse.hiding as select id, public.f() as n from warehouse.places")
    named = {one: [t.name for t in edges.sql_logins.of(one).catalog.tables()] for one in (("places",), ("places", "records"))}
    assert named["places",] == ["above", "import_findings", "places", "places_tree"]
    of_both = ["above", "both", "import_findings", "places", "places_tree", "records", "records_tree"]
    assert named["places", "records"] == of_both


ELSEWHERE = [
    "select * from {}",
    "select * from warehouse.{}",
    "select nme from {}",
    "select nme from warehouse.{}",
    "select '{}'::regclass",
    "select 'warehouse.{}'::regclass",
    "select null::{}",
    "select null::warehouse.{}",
    "select (null::{}).*",
    "select * from (with {0} as (select 1) select * from {0}) a, {0}",
    "select nme from (with {0} as (select 1) select * from {0}) a, {0}",
    "select * from records where exists (select 1 from {})",
    "select {}.id from records",
    "table {}",
]


@pytest.mark.parametrize("sql", ELSEWHERE)
def test_a_dataset_without_a_grant_looks_as_if_it_did_not_exist(ours: SqlLogin, sql: str) -> None:
    """The same words for a table that is there and for one that is not, whatever is asked of it."""
    said = []
    for name in ("places", "plants"):
        for ask in (ours.console.run, ours.console.plan):
            with pytest.raises(QueryRefused) as caught:
                ask(sql.replace("{0}", name).replace("{}", name))
            said.append(str(caught.value).replace(name, "..."))
    assert len(set(said)) == 1, said


@pytest.mark.parametrize(
    "sql",
    [
        *DENIED,
        "select * from warehouse.places",
        "select * from warehouse.import_findings",
        "select * from warehouse.places_tree",
        "select * from places",
        "select set_config('search_path', 'warehouse', true), (select count(*) from warehouse.places)",
        "select set_config('role', 'bulkhead_reader', true)",
        "select set_config('session_authorization', 'bulkhead_reader', true)",
        "select table_to_xml('warehouse.places', true, true, '')",
        "select query_to_xml('select * from warehouse.places', true, true, '')",
        "select most_common_vals from pg_statistic",
        "select nextval('warehouse.x')",
    ],
)
def test_postgresql_denies_it_without_the_guard(ours: SqlLogin, monkeypatch: pytest.MonkeyPatch, sql: str) -> None:
    monkeypatch.setattr(console_module, "guarded", lambda sql, **_: sql)
    with pytest.raises(QueryRefused):
        ours.console.run(sql.replace("delete from records", "delete from warehouse.places"))


def test_no_condition_sees_a_finding_of_another_dataset(ours: SqlLogin) -> None:
    for sql in (
        "select count(*) from import_findings where value::int > 0 or true",
        "select count(*) from import_findings where 1 / (case when value like '%places%' then 0 else 1 end) = 1",
        "select count(*) from import_findings where repeat(value, 1) ~ 'records' or filename::int = 1",
    ):
        try:
            assert ours.console.run(sql).rows == [(1,)], sql
        except QueryRefused as error:
            assert "places" not in str(error), sql


def test_a_role_that_another_session_creates_meanwhile_is_taken(
    filled: Settings, edges: AppContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Roles belong to the whole server: two databases may need the same one at the same time."""
    real, states = dataset_roles._state, []

    def seen_before(connection: Any, granted: DatasetRole) -> tuple[bool, str, bool]:
        states.append(real(connection, granted))
        return (False, *states[0][1:]) if len(states) == 1 else states[-1]

    granted = DatasetRole(("places", "records"))
    sql_reader.grant(edges.engine, filled, granted)
    monkeypatch.setattr(dataset_roles, "_state", seen_before)
    sql_reader.grant(edges.engine, filled, granted)
    assert states[0][0], "it was there, and to be created once more"


def test_a_plan_tells_nothing_of_others(ours: SqlLogin) -> None:
    for sql in (
        "select * from import_findings",
        "select * from records where id in (select id from import_findings where dataset = 'places')",
        "select * from information_schema.tables",
        "with x as materialized (select value from import_findings) select (select max(value) from x)",
    ):
        with pytest.raises(QueryRefused, match="Plans are available only for"):
            ours.console.plan(sql)
        ours.console.run(sql)
    assert len(ours.console.plan("select count(*) from records, generate_series(1, 3)")) > 1


def test_the_information_schema_shows_nothing_of_others(
    ours: SqlLogin, filled: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL itself shows every role the name of each table in one view of many; that one the guard keeps shut."""
    with psycopg.connect(filled.database_url) as connection:
        found = connection.execute(
            "select table_name from information_schema.views where table_schema = 'information_schema'"
        ).fetchall()
    assert len(found) > 40
    asked = "select t::text as row from information_schema.{} as t where t::text ~ 'places|ledger|api_key'"
    shut = set()
    for (view,) in found:
        try:
            assert ours.console.run(asked.format(view)).rows == [], view
        except QueryRefused:
            shut.add(view)
    assert {view for (view,) in found} - shut == {"columns", "schemata", "tables", "views"}
    monkeypatch.setattr(console_module, "guarded", lambda sql, **_: sql)
    telling = set()
    for view in shut:
        with suppress(QueryRefused):  # some PostgreSQL shows to its administrator alone
            telling |= {view} if ours.console.run(asked.format(view)).rows else set()
    assert telling == {"udt_privileges"}, "docs/security.md says so"


@pytest.mark.all_versions
def test_the_role_owns_nothing_and_may_do_nothing_else(ours: SqlLogin, filled: Settings) -> None:
    with closing(psycopg.connect(sql_url(filled, OURS.name), autocommit=True)) as connection:
        connection.execute("set default_transaction_read_only = off")
        for sql in (
            "insert into records (id, _import_id, _row) values ('x', gen_random_uuid(), 1)",
            "delete from records",
            "select * from warehouse.records",
            f"create table {OURS.name}.x (i int)",
            "create table public.x (i int)",
            "create schema x",
            "create temporary table x (i int)",
            f"alter view {OURS.name}.records owner to {OURS.name}",
            "copy records to program 'true'",
            "set role bulkhead_reader",
        ):
            with pytest.raises((pg.InsufficientPrivilege, pg.InvalidSchemaName)):
                connection.execute(sql)
    with psycopg.connect(filled.database_url) as connection:
        owned = SQL("select count(*) from pg_shdepend where refobjid = {}::regrole and deptype = 'o'").format(OURS.name)
        assert connection.execute(owned).fetchone() == (0,)
        rights = "select rolsuper, rolcreaterole, rolcreatedb, rolbypassrls, rolreplication from pg_roles where rolname = %s"
        assert connection.execute(rights, (OURS.name,)).fetchone() == (False,) * 5
        memberships = "select count(*) from pg_auth_members where member = %s::regrole"
        assert connection.execute(memberships, (OURS.name,)).fetchone() == (0,)


def test_many_sets_take_no_more_connections_than_one(filled: Settings) -> None:
    """And leave those of all others alone, loads among them."""
    hasty = filled.model_copy(update={"sql_seconds": 2.0})
    with closing(AppContext.of(hasty)) as edges, ThreadPoolExecutor(8) as pool:
        sets: list[tuple[str, ...] | None] = [None, ("places",), ("records",), ("places", "records")]
        readers = [edges.sql_logins.of(one) for one in sets]
        slow = [pool.submit(reader.console.run, SLOW) for reader in [*readers, *readers]]
        most = 0
        while not all(one.done() for one in slow):
            with psycopg.connect(filled.database_url) as connection:
                counted = connection.execute(
                    "select count(*) from pg_stat_activity"
                    " where application_name = 'bulkhead sql' and datname = current_database()"
                ).fetchone()
            most = max(most, counted[0] if counted else 0)
            assert len(edges.ledger.imports.page()) == 2, "the ledger answers meanwhile"
            time.sleep(0.05)
        assert all(isinstance(one.exception(), QueryStopped) for one in slow)
        assert most == SQL_AT_ONCE


# --- as time goes by ---


@pytest.fixture
def used(keys: ApiKeys, ours: SqlLogin) -> Iterator[SqlLogin]:
    """A set that a key is for, and whose role was made."""
    keys.create("me", Role.READER, OURS.datasets)
    yield ours


@pytest.mark.all_versions
def test_a_migration_keeps_up_with_tables_and_marts(used: SqlLogin, filled: Settings, a_root: Any) -> None:
    mart = a_root / "sql" / "marts" / "names.sql"
    mart.write_text("-- names.\nselect id from warehouse.records\n")
    table = a_root / "sql" / "tables" / "records.sql"
    table.write_text(table.read_text().replace("    name text,\n", "    name text,\n    colour text default 'red',\n"))
    assert f"role {OURS.name}" in [one.what for one in migrate(filled.database_url, root=a_root)]
    assert used.console.run("select colour from records").rows == [("red",)]
    assert used.console.run("select * from names").rows == [("secret of records",)]
    mart.write_text("-- names, of more.\nselect id from warehouse.records union select id from warehouse.places\n")
    migrate(filled.database_url, root=a_root)
    with pytest.raises(QueryRefused, match='"names" does not exist'):
        used.console.run("select * from names")
    assert used.console.run("select count(*) from records").rows == [(1,)]


def test_a_migration_that_changes_nothing_leaves_the_views_alone(used: SqlLogin, filled: Settings) -> None:
    def made() -> Any:
        with psycopg.connect(filled.database_url) as connection:
            return connection.execute("select to_regnamespace(%s)::oid", (OURS.name,)).fetchone()

    before = made()
    migrate(filled.database_url)
    assert made() == before


def test_what_comes_later_is_not_granted(used: SqlLogin, filled: Settings) -> None:
    with psycopg.connect(filled.database_url) as connection:
        connection.execute("create table warehouse.later (id text)")
    migrate(filled.database_url)
    with pytest.raises(QueryRefused, match='"later" does not exist'):
        used.console.run("select * from later")


def test_a_role_that_was_dropped_is_made_again(used: SqlLogin, filled: Settings) -> None:
    with psycopg.connect(filled.database_url) as connection:
        connection.execute(SQL("drop owned by {}").format(Identifier(OURS.name)))
    with closing(AppContext.of(filled)) as anew:
        assert anew.sql_logins.of(OURS.datasets).console.run("select count(*) from records").rows == [(1,)]


def test_a_login_that_may_create_no_roles_gets_an_error_that_says_so(filled: Settings) -> None:
    with psycopg.connect(filled.database_url, autocommit=True) as connection:
        connection.execute("create role bulkhead_plain login password 'x'")
        try:
            connection.execute(f"grant create, connect on database {connection.info.dbname} to bulkhead_plain")
            url = make_url(filled.database_url).set(username="bulkhead_plain", password="x")
            plain = filled.model_copy(update={"database_url": url.render_as_string(hide_password=False)})
            with closing(AppContext.of(plain)) as edges, pytest.raises(NotReady, match="lacks the role bulkhead_reader_"):
                edges.sql_logins.of(("nobody_made_this",))
        finally:
            connection.execute("drop owned by bulkhead_plain")
            connection.execute("drop role bulkhead_plain")
