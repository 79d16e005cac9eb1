"""The SQL page without scripts: run, plan, files, examples, and an address that only shows its query."""

from __future__ import annotations

import io
import re
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psycopg
import pyarrow.parquet as pq
import pytest
from openpyxl import load_workbook

from pipeline.ledger import saved_queries
from pipeline.ledger.api_keys import Role
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


@pytest.mark.parametrize("dataset", ["records", "places"])
def test_every_example_can_be_run(browser: Any, settings: Settings, dataset: str) -> None:
    put(settings, *TREE)
    shown = browser.get(f"/sql?dataset={dataset}").text.partition('class="examples"')[2].partition("</ul>")[0]
    addresses = [unescape(to) for to in re.findall(r'href="([^"]+)"', shown)]
    assert len(addresses) == 9
    assert all(parse_qs(urlsplit(to).query)["dataset"] == [dataset] for to in addresses), "the choice is kept"
    for address in addresses:
        sql = editor_of(browser.get(address))
        answer = ask(browser, sql)
        assert answer.status_code == 200, (sql, answer.text)
        assert f"from {dataset}" in sql or "import_findings" in sql
        if "from records" in sql and "is null\nlimit" not in sql:  # orphans, of which there are none
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
    excel = ask(browser, sql, "xlsx")
    assert excel.headers["Content-Disposition"] == 'attachment; filename="query.xlsx"'
    (sheet,) = load_workbook(io.BytesIO(excel.data)).worksheets
    cells = [[(cell.value, cell.data_type) for cell in row] for row in sheet.iter_rows()]
    assert cells[1:] == [[("=1+1", "s"), (None, "n"), (-5, "n")], [("b", "s"), ("=1+1", "s"), (-5, "n")]]
    table = pq.read_table(io.BytesIO(ask(browser, sql, "parquet").data))
    assert table.to_pylist() == [{"=id": "=1+1", "parentId": None, "n": -5}, {"=id": "b", "parentId": "=1+1", "n": -5}]
    assert len(ask(browser, "select * from generate_series(1, 5000)", "csv").text.split()) == 5001  # not only what is shown
    for do in ("csv", "parquet", "xlsx"):
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


# --- a chart ---


def draw(browser: Any, sql: str, **chosen: str) -> Any:
    token = Page(browser.get("/sql").text).field("csrf_token")
    return browser.post("/sql", data={"csrf_token": token, "sql": sql, "do": "chart", **chosen})


def test_a_chart_is_drawn_above_the_table(browser: Any) -> None:
    sql = 'select n as "<b>n", n * n as squared from generate_series(1, 5) as n'
    plain = ask(browser, sql)
    assert 'value="chart"' in plain.text and 'id="chart"' not in plain.text
    for kind, marks in (("bar", "<rect"), ("line", "<polyline")):
        answer = draw(browser, sql, kind=kind, labels="0", values="1")
        assert answer.status_code == 200
        Page(answer.text).assert_tame()
        assert marks in answer.text and 'id="answer"' in answer.text and "&lt;b&gt;n" in answer.text
    assert 'value="chart"' not in ask(browser, "select 'a' as b").text, "there is nothing to draw"
    for wrong in ({"kind": "pie"}, {"values": "0"}, {"labels": "7"}, {"labels": "x"}):
        answer = draw(browser, "select 'a' as b, 1 as n", **{"kind": "bar", "labels": "0", "values": "1", **wrong})
        assert answer.status_code == 400 and "Choose" in answer.text and 'id="answer"' in answer.text
    assert draw(browser, "select nothing", kind="bar", labels="0", values="1").status_code == 400


# --- saved queries and the history ---


def save(browser: Any, name: str, sql: str) -> Any:
    token = Page(browser.get("/sql").text).field("csrf_token")
    return browser.post("/sql/saved", data={"csrf_token": token, "sql": sql, "name": name})


def test_a_saved_query_is_a_link(browser: Any, edges: AppContext, monkeypatch: pytest.MonkeyPatch) -> None:
    sql = f"select '{EVIL}' as x\n  -- two lines"
    saved = save(browser, f"  My  {EVIL} ", sql.replace("\n", "\r\n"))
    assert saved.status_code == 303
    with monkeypatch.context() as change:
        change.setattr(Console, "run", lambda *_, **__: pytest.fail("a GET ran a query"))
        shown = browser.get(saved.location)
    Page(shown.text).assert_tame()
    assert editor_of(shown) == sql and f"My {EVIL}" in unescape(shown.text)
    assert f'href="{saved.location}"' in browser.get("/sql").text
    again = save(browser, f"My {EVIL}", "select 2")
    assert again.location == saved.location and editor_of(browser.get(saved.location)) == "select 2", "the name is saved anew"
    for name, text in (("", "select 1"), ("x" * 121, "select 1"), ("a", "  "), ("a", "x" * 100_001)):
        refused = save(browser, name, text)
        assert refused.status_code == 400 and editor_of(refused).strip() == text.strip()
    token = Page(browser.get("/sql").text).field("csrf_token")
    assert browser.post("/sql/saved", data={"name": "a", "sql": "select 1"}).status_code == 403
    assert browser.post(f"{saved.location}/delete", data={"csrf_token": token}).status_code == 303
    for gone in (saved.location, "/sql/saved/x"):
        assert browser.get(gone).status_code == 404
        assert browser.post(f"{gone}/delete", data={"csrf_token": token}).status_code == 404
    events = [one["action"] for one in edges.ledger.audit_log.page(limit=20) if one["result"] == "ok"]
    assert events.count("query_saved") == 2 and events.count("query_deleted") == 1


def test_not_more_queries_than_a_list_holds(browser: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saved_queries, "SAVED_MAX", 2)
    assert [save(browser, name, "select 1").status_code for name in ("a", "b", "c", "a")] == [303, 303, 400, 303]


def test_the_history_has_the_last_queries(browser: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "No queries yet" in browser.get("/sql/history").text
    monkeypatch.setattr(saved_queries, "RUNS_KEPT", 3)
    for number in range(4):
        ask(browser, f"select {number} as n from generate_series(1, 201)")
    ask(browser, "select nothing")
    ask(browser, "select 5", "plan")
    evil = EVIL.replace("'", "''")
    ask(browser, f"select '{evil}' as x", "csv")
    shown = browser.get("/sql/history")
    page = Page(shown.text)
    page.assert_tame()
    texts = [" ".join(one.split()) for one in re.findall(r"<pre[^>]*>(.*?)</pre>", shown.text, re.DOTALL)]
    plain = [unescape(re.sub("<[^>]+>", "", one)) for one in texts]
    assert plain == [f"select '{evil}' as x", *(f"select {n} as n from generate_series(1, 201)" for n in (3, 2))]
    assert "over 200 rows" in page.text and "1 row ·" in page.text
    assert '<span class="t-keyword">select</span>' in texts[0]
    opened = unescape(re.findall(r'href="(/sql\?q=[^"]+)"', shown.text)[0])
    assert editor_of(browser.get(opened)) == f"select '{evil}' as x"
    assert browser.post("/sql/history/clear", data={"csrf_token": page.field("csrf_token")}).status_code == 303
    assert "No queries yet" in browser.get("/sql/history").text


def test_a_query_that_cannot_be_noted_is_answered(browser: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saved_queries, "SQL_CHARACTERS_MAX", 10)
    answer = ask(browser, "select 1 -- more than that")
    assert answer.status_code == 200 and "1 row in" in answer.text
    assert "No queries yet" in browser.get("/sql/history").text


def test_queries_follow_what_their_owner_may_see(edges: AppContext) -> None:
    """A person in other groups sees what was written with no more than the person may read now."""
    kept = edges.ledger.saved_queries
    _, key = edges.keys.create("me", Role.READER)
    wide, narrow = key, replace(key, datasets=("records",))
    unmasked = replace(key, unmask=True)
    for name, owner in (("wide", wide), ("narrow", narrow), ("unmasked", unmasked)):
        kept.save(owner, name, f"select '{name}'", lambda _: lambda _: None)
        kept.note_run(owner, f"select '{name}'", seconds=0.1, rows=1, truncated=False)
    for owner, names in (
        (unmasked, {"wide", "narrow", "unmasked"}),
        (wide, {"wide", "narrow"}),
        (narrow, {"narrow"}),
        (replace(narrow, datasets=("places", "records")), {"narrow"}),
        (replace(narrow, datasets=("places",)), set()),
        (replace(key, id=str(uuid.uuid4())), set()),
    ):
        assert {one.name for one in kept.list(owner)} == names
        assert {one.sql for one in kept.runs(owner)} == {f"select '{name}'" for name in names}
        opened = [kept.get(owner, one.id) for one in kept.list(unmasked)]
        assert {one.name for one in opened if one} == names


def test_old_queries_are_forgotten(browser: Any, edges: AppContext, settings: Settings) -> None:
    ask(browser, "select 1")
    (key,) = [one for one in edges.keys.list() if one.name == "a user of a test"]
    save(browser, "kept", "select 1")
    edges.ledger.saved_queries.expire(datetime.now(UTC) + timedelta(days=89))
    assert len(edges.ledger.saved_queries.runs(key)) == 1
    edges.ledger.saved_queries.expire(datetime.now(UTC) + timedelta(days=91))
    assert edges.ledger.saved_queries.runs(key) == []
    assert [one.name for one in edges.ledger.saved_queries.list(key)] == ["kept"], "as long as its key works"
    edges.keys.revoke(key.id)
    edges.ledger.saved_queries.expire(datetime.now(UTC) + timedelta(days=91))
    assert edges.ledger.saved_queries.list(key) == []
