"""The form that corrects findings, as a browser without scripts sends it."""

from __future__ import annotations

import html
import io
import re
import uuid
from typing import Any

import psycopg
import pytest
from flask import Flask

from pipeline.adapters.s3 import Store
from pipeline.contracts.masking import MASK, PERSONAL
from pipeline.contracts.states import State
from pipeline.ledger.api_keys import Role
from pipeline.settings import Settings
from tests.support.html_page import EVIL
from tests.support.http import signed_in
from web.app_context import AppContext

FILE = b"id,Parent,name\nFR,,France\n"
READING = {"columns": ["id", "parentId", "name"], "original_columns": ["id", "Parent", "name"], "format": "csv"}
FINDINGS: list[tuple[str, int, str, str | None, str | None, list[str]]] = [
    ("missing_parent", 2, "parentId", "Fr", "Did you mean FR? They differ in case only.", ["FR-75", "Fr", "Paris"]),
    ("missing_parent", 3, "parentId", "XX", "Add the parent to the file.", ["XA", "XX", EVIL]),
    *(("expectation_failed", row, "name", "?", None, [f"N-{row}", "FR", "?"]) for row in range(4, 64)),
]


@pytest.fixture
def rejected(edges: AppContext, store: Store, settings: Settings) -> str:
    """A rejected import with 62 findings, whose file is there."""
    import_id = str(uuid.uuid4())
    key = f"incoming/places/{import_id}/places.csv"
    store.put_bytes(key, FILE)
    stored = store.head(key)
    assert stored is not None
    edges.ledger.imports.open(import_id, dataset="places", filename="places.csv", bucket=store.bucket, key=key)
    edges.ledger.uploads.complete(import_id, size_bytes=len(FILE), sha256="ab" * 32, etag=stored.etag)
    edges.ledger.imports.move(import_id, State.VALIDATING)
    counts = {"records_total": 100, "records_invalid": 62, "findings_errors": 62}
    by_code = {"missing_parent": 2, "expectation_failed": 60}
    edges.ledger.imports.move(import_id, State.REJECTED, **counts, findings_by_code=by_code, reading=READING)
    with psycopg.connect(settings.database_url) as connection, connection.cursor() as cursor:
        cursor.executemany(
            'insert into ledger.finding (import_id, finding_no, code, severity, message, row, "column", value, hint, cells)'
            " values (%s, %s, %s, 'error', 'It is wrong.', %s, %s, %s, %s, %s)",
            [(import_id, number, *finding) for number, finding in enumerate(FINDINGS, 1)],
        )
    return import_id


def fields_of(page: str) -> dict[str, str]:
    """The fields of the form of corrections, as a browser sends them."""
    form = re.findall(r'<form id="fixes"[^>]*>(.*?)</form>', page, re.DOTALL)[0]
    found = re.findall(r'<input (?:type="hidden" |id="[^"]+" )name="([^"]+)" value="([^"]*)"', form)
    return {name: html.unescape(value) for name, value in found}


def send(client: Any, import_id: str, do: str, page: str | None = None, query: str = "", **typed: str) -> Any:
    """Open the page of findings, unless it is open, type, and press a button."""
    path = f"/imports/{import_id}/findings{query}"
    fields = fields_of(client.get(path).text if page is None else page)
    typed = {name.replace("_", "."): value for name, value in typed.items()}
    return client.post(path, data={**fields, **typed, "do": do})


def told(client: Any, import_id: str) -> str:
    """What the bar says of all changes."""
    page = client.get(f"/imports/{import_id}/findings").text
    return re.sub(r"<[^>]+>|\s+", " ", re.findall(r'id="fix-told">(.*?)(?:<span|</p>)', page, re.DOTALL)[0]).strip()


def test_one_form_saves_acts_and_imports_again(browser: Any, edges: AppContext, rejected: str) -> None:
    assert told(browser, rejected).startswith("Correct a cell")
    answer = send(browser, rejected, "save", new_3_1="FR", new_4_2="Name")
    assert (answer.status_code, answer.location) == (303, f"/imports/{rejected}/findings")
    assert "Saved." in browser.get(answer.location).text
    assert told(browser, rejected) == "2 edits."
    assert send(browser, rejected, "use.1").location.endswith("#finding-1")
    assert send(browser, rejected, "skip.5").location.endswith("#row-5")
    send(browser, rejected, "undo.3.1")
    send(browser, rejected, "root.3", new_6_2="saved with the button")
    assert told(browser, rejected) == "3 edits, 1 row skipped, 1 record made a root."
    send(browser, rejected, "unskip.5")
    send(browser, rejected, "unroot.3")
    assert told(browser, rejected) == "3 edits."
    answer = send(browser, rejected, "again", new_7_2="typed last")
    assert (answer.status_code, answer.location) == (307, f"/imports/{rejected}/again?version=8")
    fields = fields_of(browser.get(f"/imports/{rejected}/findings").text)
    made = browser.post(answer.location, data={"csrf_token": fields["csrf_token"]})
    assert made.status_code == 303
    page = browser.get(made.location).text
    assert "Retry of" in page and "places (retry).csv" in page
    for path in (f"/imports/{rejected}", f"/imports/{rejected}/findings"):
        assert "Imported again as" in browser.get(path).text
    (one,) = [one for one in edges.ledger.imports.page() if one.retry_of == rejected]
    assert (one.patch, one.filename) == ({"import_id": rejected, "version": 8}, "places (retry).csv")


def test_the_same_is_done_to_all_that_are_alike(browser: Any, edges: AppContext, rejected: str) -> None:
    page = browser.get(f"/imports/{rejected}/findings").text
    assert page.count("Apply to all 60 like this</button>") == 48  # the page has fifty of 62 findings
    assert "Type the right value into the cell first." in send(browser, rejected, "alike-set.3").text
    answer = send(browser, rejected, "alike-set.3", query="?code=expectation_failed", new_4_2="Name")
    assert answer.location == f"/imports/{rejected}/findings?code=expectation_failed#finding-3"
    assert "Applied to 60 rows." in browser.get(answer.location).text
    assert told(browser, rejected) == "60 edits."
    send(browser, rejected, "alike-skip.4")
    assert told(browser, rejected) == "60 edits, 60 rows skipped."


def test_a_second_person_gets_a_conflict_and_keeps_what_they_typed(
    browser: Any, app: Flask, edges: AppContext, rejected: str
) -> None:
    other = signed_in(app, edges, Role.UPLOADER)
    seen = other.get(f"/imports/{rejected}/findings").text
    send(browser, rejected, "save", new_2_1="DE")
    answer = send(other, rejected, "save", seen, new_2_1="IT", new_3_1="FR")
    assert answer.status_code == 409
    page = html.unescape(answer.text)
    assert "Not saved: 1 cell was changed by another person meanwhile." in page
    assert "Meanwhile changed to <q><bdi>DE</bdi></q>" in page and 'name="new.2.1" value="IT"' in page
    assert told(browser, rejected) == "2 edits."  # theirs, and the other cell
    assert send(other, rejected, "save", answer.text).status_code == 303
    assert 'name="new.2.1" value="IT"' in browser.get(f"/imports/{rejected}/findings").text
    # what another person did to one of forty is not overwritten by what is done to all forty
    seen = other.get(f"/imports/{rejected}/findings").text
    send(browser, rejected, "save", new_9_2="mine")
    answer = send(other, rejected, "alike-set.3", seen, new_4_2="Name")
    assert answer.status_code == 409 and "Not applied: 1 of them was changed by another person meanwhile." in answer.text
    assert 'name="new.4.2" value="Name"' in answer.text and 'name="new.9.2" value="mine"' in answer.text
    # and a discard forgets only what was seen
    version = fields_of(seen)["version"]
    fields = {"csrf_token": fields_of(seen)["csrf_token"], "version": version}
    other.post(f"/imports/{rejected}/discard", data=fields)
    assert told(browser, rejected) == "3 edits."
    fields["version"] = fields_of(browser.get(f"/imports/{rejected}/findings").text)["version"]
    other.post(f"/imports/{rejected}/discard", data=fields)
    assert told(browser, rejected).startswith("Correct a cell")


def test_only_uploaders_have_editors_and_only_with_the_token(app: Flask, edges: AppContext, rejected: str) -> None:
    reader, uploader = signed_in(app, edges, Role.READER), signed_in(app, edges, Role.UPLOADER)
    page = reader.get(f"/imports/{rejected}/findings").text
    assert "It is wrong." in page
    assert not re.search(r'id="fixes"|id="fix-bar"|fix\.js|name="new\.', page)
    assert "Fix 62 problems" not in reader.get(f"/imports/{rejected}").text
    assert "Fix 62 problems" in uploader.get(f"/imports/{rejected}").text
    fields = fields_of(uploader.get(f"/imports/{rejected}/findings").text)
    for path in ("findings", "again?version=1", "discard"):
        assert reader.post(f"/imports/{rejected}/{path}", data=fields).status_code == 403
        assert uploader.post(f"/imports/{rejected}/{path}", data={**fields, "csrf_token": "x"}).status_code == 403
    assert told(uploader, rejected).startswith("Correct a cell")


@pytest.mark.parametrize("do", ["use.99", "use.3", "use.0", "alike-set.99", "undo.2.77", "skip.0", "skip.101"])
def test_what_is_not_there_cannot_be_corrected(browser: Any, rejected: str, do: str) -> None:
    assert send(browser, rejected, do).status_code in (400, 422)
    assert told(browser, rejected).startswith("Correct a cell")


def test_texts_of_the_file_and_what_is_typed_are_escaped(browser: Any, rejected: str) -> None:
    evil = '"><script>alert(1)</script>\n<b>'
    send(browser, rejected, "save", new_3_1=evil)
    page = browser.get(f"/imports/{rejected}/findings").text
    assert EVIL not in page and "<script>alert" not in page and "&lt;script&gt;alert(1)" in page
    assert re.search(r'<textarea id="new\.3\.1"[^>]*>\n&#34;&gt;&lt;script', page)


def test_masked_values_are_overwritten_and_not_shown(
    app: Flask, edges: AppContext, settings: Settings, rejected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("web.services.patch_edits.Editor.is_shown", lambda self, column: column != "name")
    edges.ledger.imports.update(rejected, reading={**READING, PERSONAL: ["name"]})
    with psycopg.connect(settings.database_url) as connection:
        connection.execute("update ledger.finding set cells[3] = %s where import_id = %s", (MASK, rejected))
    client = signed_in(app, edges, Role.UPLOADER)
    page = client.get(f"/imports/{rejected}/findings").text
    assert "like this" not in page  # all have the same mask, and not the same value
    assert 'name="new.4.2" value=""' in page and "What you enter replaces the whole value." in page
    assert send(client, rejected, "save", new_4_2="a secret").status_code == 303
    page = client.get(f"/imports/{rejected}/findings").text
    assert "a secret" not in page and 'name="new.4.2" value=""' in page and told(client, rejected) == "1 edit."
    send(client, rejected, "save")
    assert edges.patches.current(rejected).version == 1  # an empty field of a mask changes nothing


def test_what_is_no_longer_kept_cannot_be_corrected(browser: Any, settings: Settings, rejected: str) -> None:
    with psycopg.connect(settings.database_url) as connection:
        connection.execute("update ledger.import set source_removed_at = now() where id = %s", (rejected,))
    page = browser.get(f"/imports/{rejected}/findings").text
    assert 'id="fixes"' not in page and "The uploaded file was deleted on" in page


def test_a_corrected_file_is_a_retry(browser: Any, edges: AppContext, rejected: str) -> None:
    page = browser.get(f"/imports/{rejected}").text
    form = re.findall(r'<form method="post" action="/upload"[^>]*>(.*?)</form>', page, re.DOTALL)[0]
    fields = dict(re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', form))
    assert (fields["retry_of"], fields["dataset"]) == (rejected, "places")
    answer = browser.post("/upload", data={**fields, "file": (io.BytesIO(FILE), "corrected.csv")})
    assert answer.status_code == 303
    assert "Retry of" in browser.get(answer.location).text
    assert "Imported again as" in browser.get(f"/imports/{rejected}").text
