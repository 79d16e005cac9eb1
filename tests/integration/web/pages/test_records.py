"""The pages of records, as a browser without scripts gets them: the tree by links, a record with its lineage, any value."""

from __future__ import annotations

import re
import uuid
from html import unescape
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from psycopg.types.json import Jsonb
from sqlalchemy import text

from pipeline.contracts.states import State
from pipeline.datasets.dataset import load_dataset
from pipeline.ledger.api_keys import Role
from pipeline.settings import Settings
from pipeline.sqlfiles import load
from tests.support.html_page import EVIL, Page
from tests.support.http import follow_link
from tests.support.records import ODD_IDS, TREE, put
from tests.support.waiting import wait_until
from web.app_context import AppContext
from web.pages.formatting import CHILDREN_COUNTED
from web.pages.records import ANCESTORS_SHOWN, IMPORTS_SEARCHED, NODES_SHOWN, label_of

TREE_PAGE = "/datasets/records/records"
HTML = {"headers": {"Accept": "text/html"}}

ROWS_READ_MAX = 1_000
"""Far more than five pages need, far less than a table of 200,000 has."""


def page_of(answer: Any) -> Page:
    """A page that is tame."""
    page = Page(answer.get_data(as_text=True))
    page.assert_tame()
    assert len(page.all("h1")) == 1
    return page


def links(answer: Any, kind: str) -> list[str]:
    """Where the links of a class lead."""
    return [unescape(to) for to in re.findall(rf'class="{kind}" href="([^"]+)"', answer.text)]


def add(settings: Settings, record_id: str, **values: Any) -> None:
    """One record, of any values."""
    row = {"parentId": None, "name": None, "attributes": {}, "_import_id": uuid.uuid4(), "_row": 1, **values}
    with psycopg.connect(settings.database_url) as connection:
        connection.execute(
            'insert into warehouse.records (id, "parentId", name, attributes, _import_id, _row)'
            " values (%s, %s, %s, %s, %s, %s)",
            (record_id, row["parentId"], row["name"], Jsonb(row["attributes"]), row["_import_id"], row["_row"]),
        )


# --- the tree ---


def test_the_tree_is_walked_by_links_alone(browser: Any, settings: Settings) -> None:
    put(settings, *TREE)
    start = browser.get("/datasets")
    assert TREE_PAGE in start.text
    assert 'href="/datasets" aria-current="page"' in start.text
    seen, to_visit = [], [TREE_PAGE]
    while to_visit:
        answer = browser.get(to_visit.pop())
        page_of(answer)
        seen += [to.rsplit("/", 1)[1] for to in links(answer, "id")]
        to_visit += links(answer, "twist")
    assert sorted(seen) == sorted(child for child, _ in TREE)
    roots = browser.get(TREE_PAGE)
    assert re.findall(r'class="count soft">([^<]*)<', roots.text) == ["5 children", ""]
    below = browser.get(f"{TREE_PAGE}?under=r11")
    assert links(below, "id") == [f"{TREE_PAGE}/r110"]
    crumbs = below.text.partition('<ol class="crumbs">')[2].partition("</ol>")[0]
    assert re.findall(r'href="([^"]+)"', crumbs) == ["/datasets", TREE_PAGE, f"{TREE_PAGE}?under=r", f"{TREE_PAGE}?under=r1"]
    assert 'aria-current="page"><bdi>r11</bdi>' in crumbs


def test_a_long_level_comes_in_pages(browser: Any, settings: Settings) -> None:
    wanted = [f"c{n:03}" for n in range(2 * NODES_SHOWN + 7)]
    put(settings, ("top", None), *[(one, "top") for one in wanted])
    seen, to = [], f"{TREE_PAGE}?under=top"
    sizes = []
    while to:
        answer = browser.get(to)
        found = [link.rsplit("/", 1)[1] for link in links(answer, "id")]
        sizes.append(len(found))
        seen += found
        more = re.search(r'<li class="more"><a href="([^"]+)"', answer.text)
        to = unescape(more[1]) if more else ""
    assert seen == wanted
    assert sizes == [NODES_SHOWN, NODES_SHOWN, 7]
    assert "First page" in answer.text
    assert "No more records." in page_of(browser.get(f"{TREE_PAGE}?under=top&after=zzz")).text


def test_counting_stops_before_a_million_children(browser: Any, api: Any, settings: Settings, edges: AppContext) -> None:
    many = CHILDREN_COUNTED + 500
    put(settings, ("wide", None), ("full", None), *[(f"w{n}", "wide") for n in range(many)])
    put(settings, *[(f"f{n}", "full") for n in range(CHILDREN_COUNTED)])
    text_shown = browser.get(TREE_PAGE).text
    assert "over 1,000 children" in text_shown
    assert ">1,000 children<" in text_shown
    assert edges.records.children_counts(load_dataset("records"), ["wide"]) == {"wide": many}
    limited = api.get("/v1/datasets/records/records?root=true&counts=true&counts_max=1001").json["items"]
    assert {one["id"]: one["_children"] for one in limited} == {"full": 1000, "wide": 1001}
    assert api.get("/v1/datasets/records/records?counts=true&counts_max=0").json["code"] == "invalid_parameter"


def test_a_record_is_found_by_its_id(browser: Any, settings: Settings) -> None:
    put(settings, *TREE)
    found = browser.get(f"{TREE_PAGE}?id=r11")
    assert (found.status_code, found.location) == (302, f"{TREE_PAGE}/r11")
    missing = browser.get(TREE_PAGE, query_string={"id": EVIL}, **HTML)
    assert missing.status_code == 404
    assert EVIL in page_of(missing).text
    assert browser.get(f"{TREE_PAGE}?id=").status_code == 200
    for path in (f"{TREE_PAGE}/no", f"{TREE_PAGE}?under=no", "/datasets/nowhere/records", "/datasets/nowhere/records/r"):
        assert browser.get(path, **HTML).status_code == 404, path
    for path in (f"{TREE_PAGE}?under=%00", f"{TREE_PAGE}?id=%00", f"{TREE_PAGE}?after=%00"):
        assert browser.get(path, **HTML).status_code == 400, path


def test_ids_of_any_kind_have_a_page(browser: Any, settings: Settings) -> None:
    put(settings, ("base", None), *[(odd, "base") for odd in ODD_IDS], *[(f"{odd}!", odd) for odd in ODD_IDS])
    answer = browser.get(f"{TREE_PAGE}?under=base")
    pages, branches = links(answer, "id"), links(answer, "twist")
    assert len(pages) == len(branches) == len(ODD_IDS)
    for to, branch in zip(pages, branches, strict=True):
        record = browser.get(to)
        assert record.status_code == 200, to
        page_of(record)
        (child,) = links(record, "id")
        assert links(browser.get(branch), "id") == [child]
        assert browser.get(child).status_code == 200
    assert f"{TREE_PAGE}?id=.." in pages
    for odd in set(ODD_IDS) - {".", ".."}:
        found = browser.get(f"{TREE_PAGE}?id={quote(odd, safe='')}")
        assert found.location == f"{TREE_PAGE}/{quote(odd, safe='')}"


def test_an_empty_dataset(browser: Any) -> None:
    assert "No records yet." in page_of(browser.get(TREE_PAGE)).text


# --- a record ---


def test_a_record_says_all_of_itself(browser: Any, settings: Settings, edges: AppContext) -> None:
    import_id = str(uuid.uuid4())
    edges.ledger.imports.open(import_id, dataset="records", filename="tree.csv", bucket="b", key="k")
    put(settings, ("r", None), ("r1", "r"))
    add(
        settings,
        "r11",
        parentId="r1",
        name="Eleven",
        attributes={"n": [1, None], "deep": {"a": "ü"}},
        _import_id=import_id,
        _row=42,
    )
    put(settings, ("r110", "r11"))
    page = page_of(browser.get(f"{TREE_PAGE}/r11"))
    crumbs = [one.get("href") for one in page.all("a")]
    assert crumbs.index(f"{TREE_PAGE}/r") < crumbs.index(f"{TREE_PAGE}/r1") < crumbs.index(f"{TREE_PAGE}/r110")
    assert f"/imports/{import_id}" in crumbs
    for words in ("Eleven", "from record 42 of its file", "1 child"):
        assert words in page.text, words
    assert "attributes" in page.text
    assert "_import_id" not in page.text.partition("Origin")[0]
    stranger = page_of(browser.get(f"{TREE_PAGE}/r"))
    assert "which is not in the ledger" in stranger.text


def test_the_lineage_tells_what_the_ledger_knows_and_no_more(browser: Any, settings: Settings, edges: AppContext) -> None:
    put(settings, ("a", None), ("b", None))
    made = []
    with psycopg.connect(settings.database_url) as connection:
        for number, dataset in enumerate(("records", "records", "places")):
            import_id = str(uuid.uuid4())
            edges.ledger.imports.open(import_id, dataset=dataset, filename=f"try{number}.csv", bucket="b", key=f"k{number}")
            connection.execute(
                "insert into ledger.failure (import_id, _row, part_no, batch_no, id, code, message)"
                " values (%s, 7, 1, 1, 'a', 'c', %s), (%s, 8, 1, 1, 'other', 'c', 'no')",
                (import_id, f"Refused <{number}>.", import_id),
            )
            made.append(import_id)
    shown = browser.get(f"{TREE_PAGE}/a").text
    rows = shown.partition("did not load it")[2].partition("</table>")[0]
    assert re.findall(r'href="/imports/([^"]+)"', rows) == made[1::-1]  # newest first, and of this dataset alone
    assert "Refused &lt;1&gt;." in rows
    assert "Refused &lt;2&gt;." not in shown
    none = page_of(browser.get(f"{TREE_PAGE}/b")).text
    assert "did not load it" not in none
    assert "rejected or quarantined this record" in none
    asked = browser.get(
        next(to for to in [unescape(one) for one in re.findall(r'href="(/sql[^"]+)"', shown)] if "import_findings" in to)
    )
    assert "and id = &#39;a&#39;" in asked.text


def test_ancestors_far_up_are_left_out(browser: Any, settings: Settings) -> None:
    put(settings, ("0", None), *[(str(n), str(n - 1)) for n in range(1, 60)])
    shown = browser.get(f"{TREE_PAGE}/59").text
    crumbs = shown.partition('<ol class="crumbs">')[2].partition("</ol>")[0]
    assert crumbs.count("<li>") == 3 + ANCESTORS_SHOWN  # the way to the dataset, an ellipsis, and these
    assert "…" in crumbs
    assert f'{TREE_PAGE}/{59 - ANCESTORS_SHOWN}"' in crumbs


# --- any value ---

VALUES = {
    "html": EVIL,
    "formula": '=HYPERLINK("http://x","y")',
    "ansi": "\x1b[31mred\x1b[0m\x07",
    "rtl": "שלום עולם",
    "turned": "abc\u202egnp.exe",
    "null": None,
    "empty": "",
    "template": "{{ 7 * 7 }}{% raw %}",
    "long": "x" * 100_000 + "END",
    "lines": "one\r\ntwo",
}


@pytest.mark.parametrize("name", VALUES)
def test_any_value_is_harmless_and_readable(browser: Any, settings: Settings, name: str) -> None:
    value = VALUES[name]
    record_id = value[:400] if value else "plain"
    put(settings, ("top", None))
    add(settings, record_id, parentId="top", name=value, attributes={"v": value})
    put(settings, ("leaf", record_id))
    token = Page(browser.get("/sql").text).field("csrf_token")
    sql = "select id, name, attributes from records order by id"
    answers = [
        browser.get(f"{TREE_PAGE}?under=top"),
        browser.get(f"{TREE_PAGE}/{quote(record_id, safe='')}"),
        browser.get(TREE_PAGE, query_string={"under": record_id}),
        browser.get(f"{TREE_PAGE}/leaf"),
        browser.post("/sql", data={"csrf_token": token, "sql": sql}),
        browser.get("/sql", query_string={"q": f"select '{value}'"}),
    ]
    for answer in answers:
        assert answer.status_code == 200
        page = page_of(answer)
        assert len(answer.data) < 250_000
        if answer is not answers[-1]:  # which has it as it is, in the editor, and says so
            assert not {"\x1b", "\x07", "\u202e"} & set(page.text)
        elif name in ("ansi", "turned"):
            assert "invisible characters" in page.text
        assert {one.get("src") for one in page.all("img")} == {"/static/mark.svg"}
    record = page_of(answers[1]).text
    said = {"ansi": "\\u001b[31mred", "turned": "abc\\u202egnp.exe", "null": "null", "empty": "empty", "long": "xxx…"}
    assert said.get(name, (value or "").replace("\r", "\\r")) in record
    if name in ("null", "empty"):
        assert re.search(rf'<span class="soft">{name}</span>', answers[1].text)


# --- who may ---


def test_records_are_for_those_with_a_key(app: Any, edges: AppContext, settings: Settings) -> None:
    put(settings, ("a", None))
    for path in ("/datasets", TREE_PAGE, f"{TREE_PAGE}/a", "/sql?q=select+1"):
        answer = app.test_client().get(path)
        assert (answer.status_code, answer.location) == (302, "/sign-in"), path
    client = app.test_client()
    _, key = edges.keys.create("me", Role.READER)
    follow_link(client, edges.keys.sign_in_token(key.id))
    for path in ("/datasets", TREE_PAGE, f"{TREE_PAGE}/a", "/sql?q=select+1"):
        assert client.get(path).status_code == 200, path


def test_an_import_leads_to_its_records(browser: Any, edges: AppContext, settings: Settings) -> None:
    import_id = str(uuid.uuid4())
    edges.ledger.imports.open(import_id, dataset="records", filename="a.csv", bucket="b", key="k")
    assert TREE_PAGE not in browser.get(f"/imports/{import_id}").text
    with psycopg.connect(settings.database_url) as connection:
        connection.execute("update ledger.import set state = %s", (State.SUCCEEDED,))
        connection.execute("insert into ledger.part values (%s, 1, 2, 2, 0, 0, 0)", (import_id,))
    assert f'href="{TREE_PAGE}"' in browser.get(f"/imports/{import_id}").text


def test_the_label_is_what_says_most() -> None:
    assert label_of(load_dataset("places")) == label_of(load_dataset("records")) == "name"


# --- what it costs ---


def test_pages_of_a_large_table_read_few_of_its_rows(large: Any, browser: Any, edges: AppContext, settings: Settings) -> None:
    """Of 200,000 records. What a page costs follows from what it shows; 10 million take but a level more of each index."""
    paths = (TREE_PAGE, f"{TREE_PAGE}?under=r777", f"{TREE_PAGE}/r199999", f"{TREE_PAGE}/r1", f"{TREE_PAGE}?id=r5")
    with psycopg.connect(settings.database_url, autocommit=True) as connection:
        connection.execute("vacuum analyze warehouse.records")
        before = _rows_read(connection)
        for path in paths:
            assert browser.get(path).status_code in (200, 302), path
        large.close()
        edges.close()  # a session that ends says what it has read
        wait_until(lambda: _sessions(connection) == 0)
        assert 0 < _rows_read(connection) - before < ROWS_READ_MAX


def _rows_read(connection: psycopg.Connection[Any]) -> int:
    """Return how many rows and entries of indexes were read of the table, as PostgreSQL's statistics say."""
    connection.execute("select pg_stat_clear_snapshot()")
    (row,) = connection.execute(
        """select (select seq_tup_read + idx_tup_fetch from pg_stat_user_tables where relid = 'warehouse.records'::regclass)
            + (select sum(idx_tup_read) from pg_stat_user_indexes where relid = 'warehouse.records'::regclass)"""
    ).fetchall()
    return int(row[0])


def _sessions(connection: psycopg.Connection[Any]) -> int:
    """Return how many sessions of the app that read records are open."""
    connection.execute("select pg_stat_clear_snapshot()")
    (row,) = connection.execute(
        "select count(*) from pg_stat_activity where datname = current_database() and application_name = 'bulkhead reads'"
    ).fetchall()
    return int(row[0])


def test_a_count_ends_at_its_limit(large: Any) -> None:
    """A flat tree of 200,000: counting the children of its root reads so many entries of the index and no more."""
    large.execute(text("update warehouse.records set \"parentId\" = 'r1' where id <> 'r1' and id like 'r1%'"))
    sql = load("queries/records/children_counts").format(table="warehouse.records", key="id", parent='"parentId"')
    (plan,) = large.execute(text(f"explain (analyze, format json) {sql}"), {"ids": ["r1"], "most": 1001}).scalar_one()
    counted = max(node["Actual Rows"] for node in _nodes(plan["Plan"]))
    assert counted == 1001
    assert {node["Index Name"] for node in _nodes(plan["Plan"]) if "Index Name" in node} == {"records_parentId_id"}


def test_refusals_are_looked_up_by_import(edges: AppContext, settings: Settings) -> None:
    """However many records were refused, a look costs a step down an index for each import."""
    with psycopg.connect(settings.database_url, autocommit=True) as connection:
        connection.execute(
            "insert into ledger.import (id, dataset, filename, bucket, key, state)"
            " select gen_random_uuid(), 'records', 'f', 'b', 'k' || n, 'rejected' from generate_series(1, 300) n"
        )
        connection.execute(
            "insert into ledger.failure (import_id, _row, part_no, batch_no, id, code, message)"
            " select id, n, 1, 1, 'r' || n, 'c', 'm' from ledger.import, generate_series(1, 300) n"
        )
        connection.execute("analyze ledger.failure, ledger.import")
    values = {"dataset": "records", "id": "r77", "imports": IMPORTS_SEARCHED, "limit": 10}
    with edges.engine.connect() as connection:
        sql = load("queries/failures/of_record")
        (plan,) = connection.execute(text(f"explain (analyze, format json) {sql}"), values).scalar_one()
    nodes = [*_nodes(plan["Plan"])]
    assert not [node for node in nodes if node["Node Type"] == "Seq Scan" and node["Relation Name"] == "failure"]
    assert "failure_id" in {node.get("Index Name") for node in nodes}
    assert (
        sum(node["Actual Rows"] * node["Actual Loops"] for node in nodes if node.get("Relation Name") == "failure") <= 2 * 200
    )


def _nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *(node for inner in plan.get("Plans", []) for node in _nodes(inner))]
