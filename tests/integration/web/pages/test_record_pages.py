"""Searching, opening and drawing records on their pages: without scripts, with any text, for keys that may read them."""

from __future__ import annotations

import re
import uuid
from html import unescape
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from pipeline.datasets.dataset import load_dataset
from pipeline.ledger.api_keys import Role
from pipeline.settings import Settings
from tests.support.html_page import EVIL, Page
from tests.support.http import follow_link
from tests.support.records import TREE, put
from web.app_context import AppContext
from web.pages import record_tree

TREE_PAGE = "/datasets/records/records"
HTML = {"headers": {"Accept": "text/html"}}


def page_of(answer: Any, status: int = 200) -> Page:
    """A page that is tame."""
    assert answer.status_code == status, answer.text
    page = Page(answer.get_data(as_text=True))
    page.assert_tame()
    assert len(page.all("h1")) == 1
    return page


def links(answer: Any, kind: str) -> list[str]:
    """Where the links of a class lead."""
    return [unescape(to) for to in re.findall(rf'class="{kind}" href="([^"]+)"', answer.text)]


def to_sql(page: Page, having: str) -> str:
    """The address of the link to the SQL page whose query has this."""
    return next(str(one["href"]) for one in page.all("a") if "/sql?" in str(one.get("href")) and having in str(one["href"]))


def attributes(settings: Settings, record_id: str, value: Any) -> None:
    """Give a record these attributes."""
    with psycopg.connect(settings.database_url) as connection:
        connection.execute("update warehouse.records set attributes = %s where id = %s", (Jsonb(value), record_id))


def run(browser: Any, address: str) -> str:
    """The result of the query that a link fills in."""
    shown = Page(browser.get(address).text)
    (sql,) = re.findall(r"<textarea[^>]*>([^<]*)</textarea>", browser.get(address).text)
    answer = browser.post("/sql", data={"csrf_token": shown.field("csrf_token"), "do": "run", "sql": unescape(sql)})
    assert answer.status_code == 200, answer.text
    return str(answer.text.partition("Result")[2])


# --- search ---


def test_a_search_shows_what_begins_so_and_its_query_finds_the_same(browser: Any, settings: Settings) -> None:
    put(settings, *TREE)
    answer = browser.get(f"{TREE_PAGE}?search=THE+R11&column=attributes")
    page = page_of(answer)
    rows = re.findall(rf'<th scope="row"><a href="{TREE_PAGE}/([^"]+)"', answer.text)
    assert rows == ["r11", "r110"]
    assert 'name="search" value="THE R11"' in answer.text
    result = run(browser, to_sql(page, "lower"))
    assert "r110" in result and "r12" not in result
    assert "No record begins with this text" in page_of(browser.get(f"{TREE_PAGE}?search=nothing")).text
    exact = browser.get(f"{TREE_PAGE}?search=r110")
    assert (exact.status_code, exact.location) == (302, f"{TREE_PAGE}/r110"), "nothing else begins so"


def test_a_search_comes_in_pages(browser: Any, settings: Settings) -> None:
    put(settings, *[(f"c{n:03}", None) for n in range(2 * record_tree.NODES_SHOWN + 7)])
    seen, to = [], f"{TREE_PAGE}?search=the"
    while to:
        answer = browser.get(to)
        page_of(answer)
        seen += re.findall(rf'href="{TREE_PAGE}/(c\d+)"', answer.text)
        more = re.search(r'<a href="([^"]+)" rel="next"', answer.text)
        to = unescape(more[1]) if more else ""
    assert seen == [f"c{n:03}" for n in range(2 * record_tree.NODES_SHOWN + 7)]
    assert browser.get(f"{TREE_PAGE}?search=the&after=x", **HTML).status_code == 400


def test_a_table_without_an_index_is_searched_by_id(browser: Any, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    put(settings, ("a", None))
    monkeypatch.setattr("pipeline.warehouse.query.search.SCANNED_BYTES_MAX", 0)
    page = page_of(browser.get(f"{TREE_PAGE}?search=a"))
    assert "meta.search" in page.text
    assert f"{TREE_PAGE}/a" in [one.get("href") for one in page.all("a")]


# --- the tree ---


def test_columns_are_chosen_and_stay_in_the_address(browser: Any, settings: Settings) -> None:
    put(settings, *TREE)
    attributes(settings, "r", {"mass": 41})
    shown = browser.get(f"{TREE_PAGE}?column=attributes&column=nothing&column=_row")
    page = page_of(shown)
    assert shown.text.count('class="cell"') == 2, "of each root, the one column there is"
    assert "mass: 41" in page.text
    assert [one.get("value") for one in page.all("input") if one.get("type") == "checkbox" and "checked" in one] == [
        "attributes"
    ]
    assert all("column=attributes" in to for to in links(shown, "twist"))
    below = browser.get(links(shown, "twist")[0])
    assert below.text.count('class="cell"') == 5
    assert 'class="cell"' not in browser.get(TREE_PAGE).text


def test_levels_open_without_a_script(browser: Any, settings: Settings) -> None:
    put(settings, *TREE)
    opened = {
        "": {"r", "s"},
        "levels=2": {"r", "s", "r0", "r1", "r2", "r3", "r4"},
        "levels=all": {child for child, _ in TREE},
        "levels=all&under=r1": {"r10", "r11", "r110", "r12"},
        "levels=nonsense": {"r", "s"},
        "levels=-1": {"r", "s"},
        "levels=²": {"r", "s"},
    }
    for query, wanted in opened.items():
        answer = browser.get(f"{TREE_PAGE}?{query}")
        page_of(answer)
        assert [to.rsplit("/", 1)[1] for to in links(answer, "id")] == sorted(wanted), query
    nested = browser.get(f"{TREE_PAGE}?levels=all").text
    assert nested.index("r11<") < nested.index("r110<") < nested.index("r12<")
    assert "Not all is open" not in nested


def test_what_is_open_is_bounded(browser: Any, settings: Settings) -> None:
    wide = record_tree.NODES_SHOWN + 5
    put(settings, *[(f"p{n:02}", None) for n in range(30)])
    put(settings, *[(f"p{n:02}-{m:02}", f"p{n:02}") for n in range(30) for m in range(wide)])
    answer = browser.get(f"{TREE_PAGE}?levels=all")
    page_of(answer)
    shown = links(answer, "id")
    assert 30 < len(shown) <= record_tree.NODES_OPEN_MAX
    assert "Not all is open" in answer.text
    more = [unescape(to) for to in re.findall(r'<li class="more"><a href="([^"]+)"', answer.text)]
    assert [to.rsplit("/", 1)[1] for to in links(browser.get(more[0]), "id")] == [f"p00-{m:02}" for m in range(50, wide)]


def test_the_level_opens_in_sql(browser: Any, settings: Settings) -> None:
    put(settings, *TREE, ("o'hara", None), ("its child", "o'hara"))
    result = run(browser, to_sql(page_of(browser.get(f"{TREE_PAGE}?under=o%27hara&column=attributes")), "limit"))
    assert "its child" in result and "r11" not in result and "attributes" in result
    assert "o&#39;hara" in run(browser, to_sql(page_of(browser.get(TREE_PAGE)), "null"))


# --- a record ---


def test_a_record_has_its_attributes_as_rows_and_its_siblings(browser: Any, settings: Settings) -> None:
    put(settings, *TREE)
    attributes(settings, "r2", {"n": [1, None], "deep": {"a": "ü"}, EVIL: EVIL, "many": list(range(400))})
    page = page_of(browser.get(f"{TREE_PAGE}/r2"))
    said = re.sub(r"\s+", " ", page.text)
    for words in ("attributes › deep › a ü text", "attributes › n › [1] 1 number", "n › [2] null", "more values"):
        assert words in said, words
    assert said.count(EVIL) == 2
    hrefs = [one.get("href") for one in page.all("a")]
    assert [one["href"] for one in page.all("a") if one.get("rel") in ("prev", "next")] == [
        f"{TREE_PAGE}/r1",
        f"{TREE_PAGE}/r3",
    ]
    assert f"{TREE_PAGE}?under=r" in hrefs
    assert "the r2" in run(browser, to_sql(page, "select+"))
    roots = page_of(browser.get(f"{TREE_PAGE}/r"))
    assert [one["href"] for one in roots.all("a") if one.get("rel") in ("prev", "next")] == [f"{TREE_PAGE}/s"]
    assert "No siblings." in page_of(browser.get(f"{TREE_PAGE}/r110")).text


def test_the_history_has_the_findings_of_imports(browser: Any, settings: Settings, edges: AppContext) -> None:
    put(settings, ("a", None))
    made = []
    with psycopg.connect(settings.database_url) as connection:
        for number, dataset in enumerate(("records", "records", "places")):
            import_id = str(uuid.uuid4())
            edges.ledger.imports.open(import_id, dataset=dataset, filename=f"try{number}.csv", bucket="b", key=f"k{number}")
            connection.execute(
                "insert into ledger.finding (import_id, finding_no, code, severity, message, row, id)"
                " values (%s, 1, 'duplicate_id', 'error', %s, 3, 'a'), (%s, 2, 'missing_parent', 'error', 'm', 4, 'b')",
                (import_id, EVIL, import_id),
            )
            made.append(import_id)
        connection.execute("update warehouse.records set _import_id = %s, _row = 7", (made[0],))
    answer = browser.get(f"{TREE_PAGE}/a")
    page = page_of(answer)
    rows = answer.text.partition("had findings in a record")[2].partition("</table>")[0]
    assert re.findall(r'href="/imports/([^"/]+)"', rows) == made[1::-1]
    assert "Duplicate ID" in rows and "Missing parent" not in rows
    hrefs = [str(one.get("href")) for one in page.all("a")]
    for to in (f"/imports/{made[0]}/findings?q=record+7", f"/imports/{made[1]}/findings?q=a"):
        assert to in hrefs
        assert browser.get(to).status_code == 200


# --- numbers and picture ---


def test_the_picture_has_a_box_and_a_row_for_each_record(browser: Any, settings: Settings, edges: AppContext) -> None:
    assert "once the records are counted" in page_of(browser.get("/datasets/records/hierarchy")).text
    put(settings, *TREE, (EVIL, None))
    edges.numbers.count(load_dataset("records"), seconds=60)
    put(settings, ("new", None))
    with psycopg.connect(settings.database_url) as connection:
        connection.execute("delete from warehouse.records where id = 's'")
    answer = browser.get("/datasets/records/hierarchy")
    page = page_of(answer)
    svg = answer.text.partition("<svg")[2].partition("</svg>")[0]
    drawn = [unescape(to) for to in re.findall(r'<a href="([^"]+)" tabindex="-1">', svg)]
    assert len(drawn) == svg.count("<rect") == len(TREE) + 1
    assert drawn[0] == f"{TREE_PAGE}/r"
    assert "the r1: 4 below" in svg
    table = answer.text.partition('<details class="same">')[2]
    assert [unescape(to) for to in re.findall(rf'<a href="({TREE_PAGE}/[^"]+)"', table)] == drawn
    assert EVIL in page.text and EVIL not in answer.text
    for to in drawn:
        assert browser.get(to, **HTML).status_code == (404 if to.endswith("/s") else 200)


def test_the_numbers_are_on_the_list_of_datasets(browser: Any, settings: Settings, edges: AppContext) -> None:
    assert "Not counted yet" in page_of(browser.get("/datasets")).text
    put(settings, *TREE, ("orphan", "gone"))
    edges.numbers.count(load_dataset("records"), seconds=60)
    edges.numbers.want("records")
    said = re.sub(r"\s+", " ", page_of(browser.get("/datasets")).text)
    assert "Records 12 Roots 2 Levels 4 Problems 1" in said
    assert "1 record is below no root" in said
    assert "records were loaded since" in said


def test_the_api_has_the_numbers_with_the_last_audit_and_import(api: Any, settings: Settings, edges: AppContext) -> None:
    nothing = api.get("/v1/datasets/records/numbers").json
    assert (nothing["records"], nothing["problems"], nothing["audit"], nothing["last_import"]) == (None, 0, None, None)
    assert nothing["search"] == ["name"]
    put(settings, *TREE)
    edges.numbers.count(load_dataset("records"), seconds=60)
    import_id, audit_id = str(uuid.uuid4()), str(uuid.uuid4())
    with psycopg.connect(settings.database_url) as connection:
        connection.execute(
            "insert into ledger.import (id, dataset, filename, bucket, key, state, findings_errors, finished_at)"
            " values (%s, 'records', 'f', 'b', 'k', 'rejected', 7, now())",
            (import_id,),
        )
        connection.execute(
            "insert into ledger.audit (id, dataset, state, findings_errors, findings_warnings, finished_at)"
            " values (%s, 'records', 'succeeded', 3, 2, now())",
            (audit_id,),
        )
    found = api.get("/v1/datasets/records/numbers").json
    assert (found["records"], found["roots"], found["depth"], found["unreachable"]) == (11, 2, 3, 0)
    assert found["problems"] == 10 and found["is_current"] and found["counted_at"].endswith("Z")
    assert (found["audit"]["id"], found["audit"]["errors"], found["audit"]["warnings"]) == (audit_id, 3, 2)
    assert (found["last_import"]["id"], found["last_import"]["state"]) == (import_id, "rejected")


def test_who_does_not_see_a_dataset_sees_none_of_its_pages(app: Any, edges: AppContext, settings: Settings) -> None:
    put(settings, *TREE)
    edges.numbers.count(load_dataset("records"), seconds=60)
    client = app.test_client()
    _, key = edges.keys.create("of places", Role.READER, ["places"])
    follow_link(client, edges.keys.sign_in_token(key.id))
    for path in ("/datasets/records/hierarchy", f"{TREE_PAGE}?search=the", f"{TREE_PAGE}?levels=all"):
        assert client.get(path, **HTML).status_code == 404, path
    assert client.get("/v1/datasets/records/numbers").status_code == 404
    assert "Roots" not in client.get("/datasets").text
