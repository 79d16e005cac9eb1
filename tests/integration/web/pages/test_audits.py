"""The pages of audits, without scripts: start one, watch it, read what it found, cancel it."""

from __future__ import annotations

import re
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pipeline.adapters.s3 import Store
from pipeline.ledger.api_keys import Role
from tests.support.audited_table import audit_text
from tests.support.html_page import EVIL
from tests.support.http import button, signed_in
from web.app_context import AppContext

AUDITS = "/datasets/places/audits"
TABLE = "XA,,Atlantis,Country,ATL,,\nXA-1,XB,Lost Valley,Province,,,\nXA-5,XA,5,,,,\n"


@pytest.fixture
def audited(edges: AppContext, store: Store, tmp_path: Path) -> str:
    """The address of the page of an audit with a missing parent and a missing value."""
    return f"{AUDITS}/{audit_text(edges, store, tmp_path / 'audited', TABLE)}"


def test_started_watched_and_canceled(browser: Any, edges: AppContext) -> None:
    page = browser.get(AUDITS).text
    assert "No audits yet." in page
    started = browser.post(AUDITS, data=button(page, AUDITS))
    assert started.status_code == 303
    address = started.headers["Location"]
    page = browser.get(address).text
    assert 'http-equiv="refresh"' in page and "It starts as soon as a worker is free." in page
    (one,) = edges.ledger.audits.page("places")
    assert one.created_by_name == "a user of a test"
    assert 'class="button" href="' + address in browser.get(AUDITS).text, "in place of the form: watch it"
    again = browser.post(AUDITS, data=button(browser.get(address).text, f"{address}/cancel"))
    assert again.headers["Location"] == address, "the one that has not ended"
    edges.ledger.audits.take_up(one.id, datetime.now(UTC))
    canceled = browser.post(f"{address}/cancel", data=button(browser.get(address).text, f"{address}/cancel"))
    assert canceled.headers["Location"] == address
    assert "Canceling" in browser.get(address).text and f"{address}/cancel" not in browser.get(address).text
    assert browser.post(AUDITS).status_code == 403, "without the token of the form"


def test_what_it_found(browser: Any, audited: str) -> None:
    page = browser.get(audited).text
    assert "2 records of 3 with errors (66.7 %)." in page
    linked = re.findall(r'<a href="(/datasets/places/records/[^"]+)"><code>', page)
    assert sorted(linked) == ["/datasets/places/records/XA-1", "/datasets/places/records/XA-5"]
    assert "14 of 16 rules met." in page and "Every parent is loaded." in page
    assert "line " not in page and "Add the parent to the file" not in page
    findings = browser.get(f"{audited}/findings").text
    assert "2 errors in 3 records." in findings and "Record by record" in findings
    assert findings.count('class="value wrong"') == 2
    found = browser.get(f"{audited}/findings?q=XA-1").text
    assert found.count('<th scope="row"') == 1 and "No finding with this ID or value" not in found
    assert "No finding with this ID or value" in browser.get(f"{audited}/findings?q=2").text, "no row of a file"
    assert browser.get(f"{audited}/findings?code=missing_parent").text.count('<th scope="row"') == 1
    assert browser.get(f"{audited}/findings?code=unknown").status_code == 400
    assert f'src="/v1{audited}/report/"' in browser.get(f"{audited}/report").text
    listed = browser.get(AUDITS).text
    assert "Errors found" in listed and "66.7 %" in listed


def test_the_datasets_pages_lead_there(browser: Any) -> None:
    for page in ("/datasets", "/datasets/places/records", "/datasets/places/validations"):
        assert f'href="{AUDITS}"' in browser.get(page).text


def test_a_reader_starts_and_cancels_none(app: Any, edges: AppContext) -> None:
    reader = signed_in(app, edges, Role.READER)
    audit_id = edges.ledger.audits.open(str(uuid.uuid4()), dataset="places")
    for page in (AUDITS, f"{AUDITS}/{audit_id}"):
        assert reader.get(page).status_code == 200 and '<form method="post" action="/datasets' not in reader.get(page).text


def test_markup_is_text(browser: Any, edges: AppContext, store: Store, tmp_path: Path) -> None:
    quoted = EVIL.replace('"', '""')
    audit_id = audit_text(edges, store, tmp_path / "evil", f'"{quoted}","{quoted}","{quoted}","{quoted}",,,\n')
    for page in ("", "/findings", f"/findings?q={EVIL}"):
        answer = browser.get(f"{AUDITS}/{audit_id}{page}")
        assert answer.status_code == 200 and EVIL not in answer.text
    edges.keys.create(EVIL, Role.UPLOADER)
    failed = edges.ledger.audits.open(str(uuid.uuid4()), dataset="records")
    edges.ledger.audits.end(failed, "failed", EVIL)  # type: ignore[arg-type]
    for page in ("/datasets/records/audits", f"/datasets/records/audits/{failed}"):
        assert EVIL not in browser.get(page).text
