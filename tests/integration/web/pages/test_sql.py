"""The SQL page without scripts: run, plan, files, examples, and an address that only shows its query."""

from __future__ import annotations

import io
import re
from html import unescape
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psycopg
import pyarrow.parquet as pq
import pytest

from pipeline.settings import Settings
from pipeline.warehouse.query import Console, QueryRefused, QueryStopped
from pipeline.warehouse.query import console as console_module
from tests.support.html_page import EVIL, Page
from tests.support.records import TREE, put
from tests.support.sql_statements import DENIED, SLOW
from web.app_context import AppContext
from web.pages.sql import ADDRESS_CHARACTERS_MAX


def ask(browser: Any, sql: str, do: str = "run") -> Any:
    token = Page(browser.get("/sql").text).field("csrf_token")
    return browser.post("/sql", data={"csrf_token": token, "sql": sql, "do": do})


def address_in(answer: Any) -> str:
    found = re.search(r'id="address" href="([^"]+)"', answer.text)
    return unescape(found[1]) if found else ""


def editor_of(answer: Any) -> str:
    return unescape(answer.text.partition("<textarea")[2].partition(">\n")[2].partition("</textarea>")[0])


def test_an_address_shows_its_query_and_runs_nothing(browser: Any, edges: AppContext, monkeypatch: pytest.MonkeyPatch) -> None:
    sql = "select '<b>&' as \"a?b#c\",\n  1 + 1 -- ü"
    answer = ask(browser, sql)
    assert answer.status_code == 200
    address = address_in(answer)
    assert parse_qs(urlsplit(address).query)["q"] == [sql]

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a GET ran a query")

    monkeypatch.setattr(Console, "run", refuse)
    monkeypatch.setattr(Console, "plan", refuse)
    shown = browser.get(address)
    assert shown.status_code == 200
    assert editor_of(shown) == sql
    assert 'id="answer"' not in shown.text
    for query in ("do=run", "do=csv", "do=plan", "run=1"):
        assert browser.get(f"{address}&{query}").status_code == 200


def test_a_query_that_is_too_long_has_no_address(browser: Any) -> None:
    short, long = "select 1 -- " + "x" * 3000, "select 1 -- " + "x" * ADDRESS_CHARACTERS_MAX
    assert browser.get(address_in(ask(browser, short))).status_code == 200
    assert address_in(ask(browser, long)) == ""
    assert address_in(browser.get("/sql")) == ""


def test_limits_are_shown(browser: Any, edges: AppContext) -> None:
    page = Page(browser.get("/sql").text)
    said = " ".join(page.text.split())
    assert f"Limit: {edges.settings.sql_seconds:g} s; 200 rows shown, 10,000 in a download." in said
    answer = ask(browser, "select * from generate_series(1, 1000)")
    assert "200 rows in" in answer.text
    assert "there are more" in answer.text


def test_every_example_can_be_run(browser: Any, settings: Settings) -> None:
    put(settings, *TREE)
    shown = browser.get("/sql").text.partition('class="examples"')[2].partition("</ul>")[0]
    addresses = [unescape(to) for to in re.findall(r'href="([^"]+)"', shown)]
    assert len(addresses) == 9
    for address in addresses:
        sql = editor_of(browser.get(address))
        answer = ask(browser, sql)
        assert answer.status_code == 200, (sql, answer.text)
        if "from records" in sql:
            assert answer.text.count("<tr>") >= 2, sql


def test_tables_are_those_that_the_role_may_read(browser: Any, settings: Settings) -> None:
    with psycopg.connect(settings.database_url) as connection:
        connection.execute("create table warehouse.hidden (secret_column text)")
        connection.execute("revoke all on warehouse.hidden from bulkhead_reader")
    shown = browser.get("/sql").text
    tables = re.findall(r'data-table="([^"]+)"', shown)
    assert {"places", "places_tree", "records", "import_findings"} <= set(tables)
    assert "hidden" not in tables
    assert "secret_column" not in shown
    assert "api_key" not in shown
    assert "<code>parentId</code>" in shown
    assert "<code>_loaded_at</code>" in shown


def test_as_files(browser: Any, settings: Settings) -> None:
    put(settings, ("=1+1", None), ("b", "=1+1"))
    sql = 'select id as "=id", "parentId", -5 as n from records order by id'
    as_csv = ask(browser, sql, "csv")
    assert as_csv.headers["Content-Disposition"] == 'attachment; filename="query.csv"'
    assert as_csv.text.split("\r\n") == ["'=id,parentId,n", "'=1+1,,-5", "b,'=1+1,-5", ""]
    table = pq.read_table(io.BytesIO(ask(browser, sql, "parquet").data))
    assert table.to_pylist() == [{"=id": "=1+1", "parentId": None, "n": -5}, {"=id": "b", "parentId": "=1+1", "n": -5}]
    assert len(ask(browser, "select * from generate_series(1, 5000)", "csv").text.split()) == 5001  # not only what is shown
    for do in ("csv", "parquet"):
        wrong = ask(browser, "select nothing", do)
        assert (wrong.status_code, wrong.mimetype) == (400, "text/html")
    assert ask(browser, "select 1", EVIL).status_code == 400
    assert browser.post("/sql", data={"sql": "select 1", "do": "csv"}).status_code == 403


def test_a_plan(browser: Any, settings: Settings) -> None:
    put(settings, *TREE)
    page = Page(ask(browser, "select * from records where attributes ? 'x'", "plan").text)
    page.assert_tame()
    said = " ".join(page.text.split())
    assert "Seq Scan on records" in said
    assert "It would read all of records" in said
    assert "Filter" in said
    by_key = ask(browser, "select * from records where id = 'Seq Scan on records'", "plan").text
    assert "records_pkey" in by_key
    assert "would read all" not in by_key
    for wrong in (
        "select nme from records",
        "drop table records",
        "analyze select 1",
        "(analyze) select 1",
        "select 1; select 2",
    ):
        assert ask(browser, wrong, "plan").status_code == 400, wrong


def test_a_plan_runs_nothing(hasty: Console) -> None:
    assert any("Aggregate" in line for line in hasty.plan(SLOW))
    with pytest.raises(QueryStopped):
        hasty.run(SLOW)


@pytest.mark.parametrize("sql", [*DENIED[:4], "select 1; drop table warehouse.records", "select 1; select pg_sleep(1)"])
def test_a_plan_is_denied_by_the_database_too(hasty: Console, sql: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console_module, "guarded", lambda sql, **_: sql)  # as if the guard had been fooled
    with pytest.raises(QueryRefused):
        hasty.plan(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "analyze select pg_sleep(60)",
        "(analyze) select pg_sleep(60)",
        "analyze with gone as (delete from records returning 1) select 1",
    ],
)
def test_a_plan_that_is_made_to_run_is_held_by_the_limits(
    hasty: Console, settings: Settings, sql: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(settings, *TREE)
    monkeypatch.setattr(console_module, "guarded", lambda sql, **_: sql)
    with pytest.raises((QueryRefused, QueryStopped)):
        hasty.plan(sql)
    with psycopg.connect(settings.database_url) as connection:
        assert connection.execute("select count(*) from warehouse.records").fetchone() == (len(TREE),)
