"""The forms that try the API's reads: they show the request and the answer that the session's rights give, without scripts."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import pytest

from pipeline.ledger.api_keys import Role
from pipeline.settings import Settings
from tests.support.html_page import EVIL, Page
from tests.support.http import follow_link
from tests.support.records import put
from web.api import api_try
from web.api.openapi import readable
from web.app_context import AppContext


@pytest.fixture
def limited(app: Any, edges: AppContext) -> Any:
    """A browser of a reader of records only."""
    client = app.test_client()
    _, key = edges.keys.create("a reader", Role.READER, datasets=["records"])
    follow_link(client, edges.keys.sign_in_token(key.id))
    return client


def answer_in(page: Any) -> tuple[str, str]:
    """Return status and body that a page shows."""
    status = re.search(r"<h2>Answer: ([^<]+)</h2>", page.text)
    body = re.search(r'aria-label="Body of the answer"><code>(.*?)</code>', page.text, re.DOTALL)
    assert status is not None
    return status[1], unescape(body[1]) if body else ""


def test_every_read_has_a_form_that_the_reference_links_to(app: Any, browser: Any) -> None:
    with app.app_context():
        known = readable()
    assert len(known) > 20
    reference = browser.get("/docs").text
    for name in known:
        assert f'href="/docs/try/{name}"' in reference
        page = browser.get(f"/docs/try/{name}")
        assert page.status_code == 200, name
        Page(page.text).assert_tame()
        assert 'id="answer"' not in page.text, "nothing is sent before the form is"
    assert browser.get("/docs/try/imports_create_import").status_code == 404
    assert app.test_client().get("/docs/try/records_list_datasets").status_code == 302


def test_it_shows_request_and_answer(browser: Any, edges: AppContext, settings: Settings) -> None:
    put(settings, ("a/b", None), (EVIL, "a/b"))
    page = browser.get("/docs/try/records_get_record?send=1&dataset=records&record_id=a%2Fb")
    status, body = answer_in(page)
    assert status == "200 OK"
    assert '"id": "a/b"' in body
    assert f"{settings.url}/v1/datasets/records/records/a%2Fb" in page.text
    children = browser.get("/docs/try/records_children?send=1&dataset=records&record_id=a%2Fb")
    Page(children.text).assert_tame()
    assert "<script>alert" in answer_in(children)[1]
    listed = browser.get("/docs/try/records_list_records?send=1&dataset=records&root=true&limit=&format=csv")
    assert "a/b,," in answer_in(listed)[1]
    binary = browser.get("/docs/try/records_list_records?send=1&dataset=records&format=parquet")
    assert "Download it" in binary.text and "Body of the answer" not in binary.text


def test_a_refusal_is_an_answer_and_a_missing_parameter_is_named(browser: Any) -> None:
    status, body = answer_in(browser.get("/docs/try/imports_get_import?send=1&import_id=x"))
    assert status == "404 Not Found" and '"unknown_import"' in body
    assert "Fill in record_id." in browser.get("/docs/try/records_get_record?send=1&dataset=records").text


def test_a_large_answer_is_cut(browser: Any, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_try, "SHOWN_BYTES", 200)
    page = browser.get("/docs/try/records_list_datasets?send=1")
    assert "Open the whole answer" in page.text
    assert len(answer_in(page)[1]) <= 200


def test_it_has_the_rights_of_the_session(limited: Any) -> None:
    assert '"name": "places"' not in answer_in(limited.get("/docs/try/records_list_datasets?send=1"))[1]
    page = limited.get("/docs/try/records_list_records?send=1&dataset=places")
    assert answer_in(page)[0] == "404 Not Found"
    assert ">places<" not in page.text
    page = limited.get("/docs/try/keys_list_keys?send=1")
    assert answer_in(page)[0] == "403 Forbidden"
    assert "needs the role admin" in page.text
