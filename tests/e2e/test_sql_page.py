"""SQL in a real Chromium: a query is coloured, drawn, saved, opened again and downloaded; and a login to the database."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys as Press
from selenium.webdriver.support.ui import Select

from pipeline.database_logins import DatabaseLogins
from pipeline.settings import Settings
from tests.support.browser_pages import EVIL, Open, assert_no_complaints, shoot, text, wait_for
from tests.support.records import put
from web.app_context import AppContext
from web.pages.sql_tokens import KEYWORDS, tokens

PHONE_ETC = [(1280, False), (390, True)]
SQL = "select id, length(id) as size -- each\nfrom records where id <> 'it''s' order by 1"
WRITTEN = (
    SQL,
    '$a$ x $b$ $a$ from e\'\\\'\' "a""b" /* open',
    "größe(1.5e3) 'open",
    "$$ open\n",
    "1a.b_$c U&'x' :: text [1:2] \U0001f600",
    "",
)


@pytest.fixture
def rows(settings: Settings) -> None:
    put(settings, *((f"r{n}", None if n == 0 else "r0") for n in range(12)), ("rather-long-id", "r1"))


def fits(browser: webdriver.Chrome, width: int) -> bool:
    return bool(browser.execute_script("return document.documentElement.scrollWidth") <= width)


@pytest.mark.parametrize(("width", "dark"), PHONE_ETC)
def test_from_a_query_to_a_chart_and_back(sign_in: Open, server: Any, rows: None, shots: Path, width: int, dark: bool) -> None:
    browser = sign_in(width=width, dark=dark)
    browser.get(f"{server.url}/sql")
    browser.find_element(By.ID, "sql").send_keys(SQL, Press.ESCAPE)
    assert browser.execute_script("return document.querySelector('.paint').textContent") == f"{SQL}\n"
    painted = browser.find_elements(By.CSS_SELECTOR, ".paint span")
    assert [(one.get_attribute("class"), one.get_property("textContent")) for one in painted] == [
        (f"t-{kind}", piece) for kind, piece in tokens(SQL) if kind
    ]
    browser.find_element(By.ID, "sql").send_keys(Press.CONTROL, Press.ENTER)
    wait_for(browser, ".answer caption", "13 rows")
    for kind, drawn in (("line", ".line-chart polyline"), ("bars", ".bars rect")):
        Select(browser.find_element(By.NAME, "kind")).select_by_visible_text(kind)
        browser.find_element(By.CSS_SELECTOR, "button[value=chart]").click()
        wait_for(browser, ".chart figcaption", "size by id")
        assert browser.find_elements(By.CSS_SELECTOR, drawn)
        assert fits(browser, width)
        shoot(browser, shots / f"sql-chart-{kind}-{width}{'-dark' if dark else ''}.png")
    browser.find_element(By.ID, "name").send_keys("How long are IDs", Press.ENTER)
    wait_for(browser, "h1", "How long are IDs")
    saved = browser.current_url
    assert "/sql/saved/" in saved and browser.find_elements(By.ID, "answer") == []
    browser.find_element(By.LINK_TEXT, "History").click()
    wait_for(browser, ".ran .t-keyword", "select")
    assert fits(browser, width)
    shoot(browser, shots / f"sql-history-{width}{'-dark' if dark else ''}.png")
    browser.find_element(By.LINK_TEXT, "SQL").click()
    wait_for(browser, "h1", "SQL")
    browser.find_element(By.LINK_TEXT, "How long are IDs").click()
    wait_for(browser, "h1", "How long are IDs")
    assert browser.current_url == saved
    assert browser.find_element(By.ID, "sql").get_property("value") == SQL
    shoot(browser, shots / f"sql-saved-{width}{'-dark' if dark else ''}.png")
    kind, size = browser.execute_async_script(
        """const done = arguments[arguments.length - 1], form = new FormData(document.getElementById("ask"));
        form.append("do", "xlsx");
        fetch("/sql", {method: "POST", body: new URLSearchParams(form)}).then(async (answer) =>
            done([answer.headers.get("Content-Type"), (await answer.arrayBuffer()).byteLength]));"""
    )
    assert "spreadsheetml" in kind and size > 1000
    browser.find_element(By.CSS_SELECTOR, ".ask.delete summary").click()
    browser.find_element(By.CSS_SELECTOR, "dialog[open] button.danger, .ask.delete form button.danger").click()
    wait_for(browser, "h1", "SQL")
    assert browser.find_elements(By.LINK_TEXT, "How long are IDs") == []
    assert_no_complaints(browser)


def test_the_script_splits_as_the_server_does(sign_in: Open, server: Any) -> None:
    browser = sign_in()
    browser.get(f"{server.url}/sql")
    for sql in (*WRITTEN, *(one[:at] for one in WRITTEN for at in range(len(one)) if one[at].isascii())):
        found = browser.execute_async_script(
            """const [sql, words, done] = arguments;
            import("/static/sql_tokens.js").then(({tokens}) => done(tokens(sql, new Set(words))));""",
            sql,
            sorted(KEYWORDS),
        )
        assert [tuple(one) for one in found] == tokens(sql), json.dumps(sql)


def test_what_is_typed_and_its_colours_break_at_the_same_places(sign_in: Open, server: Any) -> None:
    """A long query, so that there is a scroll bar."""
    browser = sign_in(width=390)
    browser.get(f"{server.url}/sql")
    written = "select " + ", ".join(f"'a text of some words {n}' as column_{n}" for n in range(60))
    browser.execute_script(
        """const editor = document.getElementById("sql"); editor.value = arguments[0];
        editor.dispatchEvent(new Event("input")); editor.scrollTop = 200; editor.dispatchEvent(new Event("scroll"));""",
        written,
    )
    heights = browser.execute_script(
        """const paint = document.querySelector(".paint"), editor = document.getElementById("sql");
        return [paint.scrollHeight, editor.scrollHeight, paint.scrollTop, editor.scrollTop,
                parseFloat(getComputedStyle(editor).lineHeight)];"""
    )
    painted, typed, at, scrolled, line = heights
    assert 0 <= painted - typed <= line + 1, "the paint has one empty line more"
    assert at == scrolled == 200


def test_all_of_it_without_scripts(sign_in: Open, server: Any, rows: None) -> None:
    browser = sign_in(scripts=False)
    browser.get(f"{server.url}/sql?dataset=records")
    browser.find_element(By.LINK_TEXT, "Records at each depth").click()
    browser.find_element(By.CSS_SELECTOR, "button[value=run]").click()
    wait_for(browser, ".answer caption", "3 rows")
    browser.find_element(By.CSS_SELECTOR, "button[value=chart]").click()
    wait_for(browser, ".chart figcaption", "records by depth")
    browser.find_element(By.ID, "name").send_keys("plain")
    browser.find_element(By.ID, "save").click()
    wait_for(browser, "h1", "plain")


@pytest.fixture
def logins_end(edges: AppContext) -> Iterator[None]:
    """Revoke the logins that a test has made: their roles are of the whole server."""
    yield
    logins = DatabaseLogins(edges.engine, edges.settings)
    for one in logins.list(None):
        logins.end_of(one.owner_id, "The test ended.")


@pytest.mark.usefixtures("rows", "logins_end")
@pytest.mark.parametrize(("width", "dark"), PHONE_ETC)
def test_a_login_is_made_used_and_revoked(sign_in: Open, server: Any, shots: Path, width: int, dark: bool) -> None:
    browser = sign_in(width=width, dark=dark)
    browser.find_element(By.LINK_TEXT, "Connect").click()
    wait_for(browser, "h1", "Connect")
    assert fits(browser, width)
    shoot(browser, shots / f"connect-empty-{width}{'-dark' if dark else ''}.png")
    browser.find_element(By.NAME, "label").send_keys(f"DBeaver {uuid.uuid4().hex[:4]}", Press.ENTER)
    wait_for(browser, ".fresh h2", "New login: DBeaver")
    assert fits(browser, width)
    shoot(browser, shots / f"connect-{width}{'-dark' if dark else ''}.png")
    url = browser.find_elements(By.CSS_SELECTOR, ".fresh .key")[-1].text
    assert url in text(browser, ".programs pre")
    with psycopg.connect(url, autocommit=True) as connection:
        assert connection.execute("select count(*) from records").fetchone() == (13,)
        browser.find_element(By.CSS_SELECTOR, ".ask.revoke summary").click()
        browser.find_element(By.CSS_SELECTOR, "dialog[open] button.danger, .ask.revoke form button.danger").click()
        wait_for(browser, ".badge", "Revoked")
        with pytest.raises(psycopg.OperationalError):
            connection.execute("select 1")
    assert url not in browser.page_source and EVIL not in browser.page_source
    assert_no_complaints(browser)
