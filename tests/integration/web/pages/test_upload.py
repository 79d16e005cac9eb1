"""The pages before an import, as a browser without JavaScript gets them: a file is sent once, looked at, and imported."""

from __future__ import annotations

import html
import io
import re
from typing import Any

import pytest

from pipeline.adapters.s3 import Store
from pipeline.contracts.object_keys import DRAFTS
from pipeline.contracts.states import State
from pipeline.ledger.api_keys import ApiKeys, Role
from tests.support.html_page import EVIL, Page
from tests.support.http import follow_link
from web.app_context import AppContext

CSV = b"id,parentId,name,kind\nFR,,France,Country\nFR-75,FR,Paris,Department\n"
HTML = {"Accept": "text/html"}


class Form:
    """The fields of the page of a draft, as a browser would send them."""

    def __init__(self, text: str) -> None:
        self.page = Page(text)
        self.fields: dict[str, list[str]] = {"csrf_token": [self.page.field("csrf_token")]}
        for one in self.page.all("input"):
            name = str(one.get("name"))
            if name in ("column", "auto"):
                self.fields.setdefault(name, []).append(str(one.get("value") or ""))
            elif one.get("type") not in ("hidden", "checkbox", "file") and one.get("value"):
                self.fields[name] = [str(one["value"])]
        for select in re.findall(r"<select[^>]*>.*?</select>", text, re.DOTALL):
            (name,) = re.findall(r'<select[^>]*\bname="([^"]+)"', select)
            chosen = re.search(r'<option(?: value="(?P<value>[^"]*)")? selected>(?P<text>[^<]*)', select)
            said = chosen["value"] if chosen and chosen["value"] is not None else chosen["text"] if chosen else ""
            self.fields.setdefault(name, []).append(html.unescape(said))

    def with_(self, **changed: str | list[str]) -> dict[str, Any]:
        return {**self.fields, **changed}


def token_of(browser: Any) -> str:
    return Page(browser.get("/").text).field("csrf_token")


def send(browser: Any, content: bytes, filename: str = "a.csv", **fields: Any) -> Any:
    """Send the first form; the options come after the file, as on the page."""
    data = {"csrf_token": token_of(browser), "file": (io.BytesIO(content), filename), **fields}
    return browser.post("/upload/drafts", data=data, content_type="multipart/form-data", headers=HTML)


def test_a_file_is_sent_looked_at_and_imported(browser: Any, edges: AppContext, store: Store) -> None:
    page = Page(browser.get("/").text)
    page.assert_tame()
    names = [one.get("name") for one in page.all("input")]
    assert names.index("csrf_token") < names.index("file") < names.index("dataset")
    sent = send(browser, CSV, "päces.csv", dry_run="true", no_parent_values="0")
    assert sent.status_code == 303
    assert edges.ledger.imports.page() == []
    form = Form(browser.get(sent.location).text)
    form.page.assert_tame()
    assert "päces.csv" in form.page.text
    assert "Check 2 rows" in form.page.text
    assert form.fields["no_parent_values"] == ['["0"]']
    assert form.fields["dataset"] == ["places"]
    assert form.fields["column"] == ["id", "parentId", "name", "kind"]
    answer = browser.post(sent.location.partition("?")[0], data=form.with_(do="import", force="true"))
    assert answer.status_code == 303
    (made,) = edges.ledger.imports.page()
    assert answer.location == f"/imports/{made.id}"
    assert (made.filename, made.dataset, made.state) == ("päces.csv", "places", State.QUEUED)
    assert (made.options.force, made.options.no_parent_values, made.options.mapping) == (True, ("0",), {})
    assert store.get_bytes(made.key) == CSV
    assert [*store.list(f"{DRAFTS}/")] == []
    assert browser.get(sent.location, headers=HTML).status_code == 404


def test_columns_are_chosen_and_the_file_is_read_again(browser: Any, edges: AppContext) -> None:
    content = "Exported on Monday,,,\nKürzel,Above,Name,Sort\nFR,,France,Country\nFR-75,FR,Paris,Department\n".encode()
    address = send(browser, content, dataset="places").location
    at = address.partition("?")[0]
    form = Form(browser.get(address).text)
    again = browser.post(at, data=form.with_(set="header_row=2"))
    assert again.status_code == 200
    form = Form(again.text)
    assert form.fields["column"] == ["Kürzel", "Above", "Name", "Sort"]
    assert form.fields["header_row"] == ["2"]
    chosen = ["to:id", "to:parentId", "to:name", "to:kind"]
    looked = browser.post(at, data=form.with_(becomes=chosen, do="look"))
    form = Form(looked.text)
    assert form.fields["becomes"] == chosen
    assert "Choose which" not in form.page.text
    assert browser.post(at, data=form.with_(do="import")).status_code == 303
    (made,) = edges.ledger.imports.page()
    assert made.options.header_row == 2
    assert made.options.mapping == {"Kürzel": "id", "Above": "parentId", "Sort": "kind"}


@pytest.mark.parametrize(
    ("written", "delimiter", "shown"),
    [
        *(("^", "^", "^"), ("::", "::", "::"), ("\\t|\\t", "\t|\t", r"\t|\t"), ("\\x01", "\x01", r"\x01")),
        *(("Tab", "\t", "tab"), (" ", " ", "space"), (" | ", " | ", r"\x20|\x20")),
    ],
)
def test_any_delimiter_and_quote_can_be_said(browser: Any, edges: AppContext, written: str, delimiter: str, shown: str) -> None:
    rows = (("id", "parentId", "name", "kind"), ("FR", "", "'La France'", "Country"), ("FR-75", "FR", "Paris", "Department"))
    content = "".join(f"{delimiter.join(row)}\n" for row in rows).encode()
    address = send(browser, content, delimiter=written, quote="single", dataset="places").location
    page = browser.get(address)
    Page(page.text).assert_tame()
    form = Form(page.text)
    assert form.fields["column"] == ["id", "parentId", "name", "kind"]
    assert (form.fields["delimiter"], form.fields["quote"]) == ([shown], ["'"])
    assert "La France" in page.text and "&#39;La France" not in page.text
    assert browser.post(address.partition("?")[0], data=form.with_(do="import")).status_code == 303
    (made,) = edges.ledger.imports.page()
    assert (made.options.delimiter, made.options.quote) == (delimiter, "'")


def test_what_a_delimiter_and_a_quote_may_be_is_said_where_they_are_changed(browser: Any, edges: AppContext) -> None:
    at = send(browser, CSV).location.partition("?")[0]
    headers = {"X-CSRF-Token": token_of(browser)}
    for name, text, said in (
        ("delimiter", "semikolon", "Did you mean semicolon?"),
        ("delimiter", "x", "1 to 8 characters"),
        ("quote", "ab", "The quote is one character, or none"),
    ):
        form = Form(browser.get(at).text)
        for do in ("look", "import"):
            refused = browser.post(at, data=form.with_(do=do, **{name: text}), headers=HTML)
            assert refused.status_code == 422
            assert said in Page(refused.text).text
        looked = browser.post(at, data=form.with_(do="look", **{name: text}), headers=HTML)
        assert Form(looked.text).fields[name] == [text]
        answer = browser.post("/upload/look", query_string={"whole": "true", name: text}, data=CSV, headers=headers)
        assert answer.status_code == 422
        assert said in answer.json["detail"]
    assert edges.ledger.imports.page() == []


def test_common_delimiters_and_quotes_are_offered(browser: Any) -> None:
    page = Page(browser.get("/").text)
    lists = {str(one.get("id")) for one in page.all("datalist")}
    offered = {str(one.get("value")) for one in page.all("option")}
    for name, common in (("delimiter", {"semicolon", "tab", "^", "::", r"\x01"}), ("quote", {"double", "single", "|", "none"})):
        (field,) = [one for one in page.all("input") if one.get("name") == name]
        assert field.get("list") in lists
        assert offered.issuperset(common)


def test_a_delimiter_is_remembered_with_the_columns(browser: Any) -> None:
    content = "Kürzel^parentId^name^kind\nFR^^France^Country\n".encode()
    headers = {"X-CSRF-Token": token_of(browser)}
    columns = ["Kürzel", "parentId", "name", "kind"]
    body = {"columns": columns, "mapping": {"Kürzel": "id"}, "filename": "a.csv", "options": {"delimiter": "^", "quote": "'"}}
    assert browser.put("/v1/datasets/places/mappings", json=body, headers=headers).status_code in (200, 201, 204)
    form = Form(browser.get(send(browser, content, dataset="places").location).text)
    assert (form.fields["delimiter"], form.fields["quote"]) == (["^"], ["'"])


def test_parents_may_be_paths_of_names(browser: Any, edges: AppContext) -> None:
    """The tree is seen before the upload, and the next file with these columns is read like it."""
    content = b"id,parentId,name,kind\n1,,Europe,Continent\n2,Europe,France,Country\n3,Europe > France,Paris,City\n"
    address = send(browser, content, dataset="places").location
    at = address.partition("?")[0]
    form = Form(browser.get(at).text)
    looked = browser.post(at, data=form.with_(do="look", parent_by="name > name"))
    form = Form(looked.text)
    assert form.fields["parent_by"] == ["name > name"]
    assert "Import 3 rows" in form.page.text
    headers = {"X-CSRF-Token": token_of(browser)}
    asked = {"whole": "true", "dataset": "places", "parent_by": "name > name"}
    seen = browser.post("/v1/preview", query_string=asked, data=content, headers=headers).json
    assert seen["would_reject"] == []
    assert (seen["tree"]["records"], seen["tree"]["roots"], seen["tree"]["misfits_total"]) == (3, 1, 0)
    wrong = browser.post("/v1/preview", query_string=asked, data=content.replace(b"Europe >", b"Asia >"), headers=headers).json
    assert [one["code"] for one in wrong["would_reject"]] == ["missing_parent"]
    assert browser.post(at, data=form.with_(do="import")).status_code == 303
    (made,) = edges.ledger.imports.page()
    assert made.options.parent_by == "name > name"
    body = {"columns": ["id", "parentId", "name", "kind"], "mapping": {}, "options": {"parent_by": "name > name"}}
    assert browser.put("/v1/datasets/places/mappings", json=body, headers=headers).status_code in (200, 201, 204)
    assert Form(browser.get(send(browser, content, dataset="places").location).text).fields["parent_by"] == ["name > name"]


@pytest.mark.parametrize("address", ["/upload/drafts", "/upload"])
def test_pasted_rows_are_a_file(browser: Any, edges: AppContext, store: Store, address: str) -> None:
    pasted = "id\tparentId\tname\tkind\r\nFR\t\t=1+1\tCountry\r\n"
    data = {"csrf_token": token_of(browser), "file": (io.BytesIO(b""), ""), "pasted": pasted, "dataset": "places"}
    sent = browser.post(address, data=data, content_type="multipart/form-data")
    assert sent.status_code == 303
    if address == "/upload/drafts":
        form = Form(browser.get(sent.location).text)
        assert "=1+1" in form.page.text, "a formula is a text"
        browser.post(sent.location.partition("?")[0], data=form.with_(do="import"))
    (made,) = edges.ledger.imports.page()
    assert made.filename == "pasted.tsv"
    assert store.get_bytes(made.key) == pasted.replace("\r\n", "\n").encode()


@pytest.mark.parametrize(("content", "filename", "status", "words"), [(b"", "a.csv", 400, "empty"), (b"", "", 400, "empty")])
def test_a_form_without_a_file_keeps_nothing(
    browser: Any, store: Store, content: bytes, filename: str, status: int, words: str
) -> None:
    answer = send(browser, content, filename)
    assert answer.status_code == status
    assert words in Page(answer.text).text
    assert [*store.list("")] == []


def test_a_file_that_cannot_be_read_can_be_read_in_another_way(browser: Any) -> None:
    address = send(browser, "id,parentId,name,kind\nÜ,,Ü,Country\n".encode("cp1252"), "old.csv", encoding="ascii").location
    answer = browser.get(address, headers=HTML)
    form = Form(answer.text)
    if answer.status_code != 200:
        assert form.page.all("p")
    assert form.fields["encoding"] == ["ascii"]
    again = browser.post(address.partition("?")[0], data=form.with_(encoding="cp1252"), headers=HTML)
    assert again.status_code == 200
    assert "Ü" in Page(again.text).text


def test_hostile_texts_are_texts(browser: Any) -> None:
    quoted = EVIL.replace('"', '""')
    content = f'id,parentId,name,"{quoted}"\nFR,,"{quoted}",x\n"{quoted}",FR,b,c\n'.encode()
    for address in (send(browser, content, EVIL).location, send(browser, content, EVIL, dataset="records").location):
        answer = browser.get(address, headers=HTML)
        page = Page(answer.text)
        page.assert_tame()
        assert "<script>alert" not in answer.text
        assert page.text.count(EVIL) >= 3
        assert {one.get("src") for one in page.all("img")} == {"/static/mark.svg"}
        setting = browser.post(address.partition("?")[0], data=Form(answer.text).with_(set=f"sheet={EVIL}"), headers=HTML)
        Page(setting.text).assert_tame()


def test_a_draft_is_its_sender_s_alone(browser: Any, app: Any, keys: ApiKeys, edges: AppContext) -> None:
    at = send(browser, CSV).location.partition("?")[0]
    other = app.test_client()
    _, key = keys.create("another", Role.ADMIN)
    follow_link(other, keys.sign_in_token(key.id))
    assert other.get(at, headers=HTML).status_code == 404
    token = token_of(other)
    for do in ("look", "import"):
        answer = other.post(at, data={"csrf_token": token, "dataset": "places", "do": do}, headers=HTML)
        assert answer.status_code == 404
    assert edges.ledger.imports.page() == []
    assert browser.get(at).status_code == 200


def test_a_dataset_that_is_not_the_key_s_does_not_exist(app: Any, keys: ApiKeys, edges: AppContext) -> None:
    client = app.test_client()
    _, key = keys.create("of records", Role.UPLOADER, ["records"])
    follow_link(client, keys.sign_in_token(key.id))
    at = send(client, CSV).location.partition("?")[0]
    page = client.get(at, headers=HTML)
    assert "places" not in re.sub(r"a\.csv", "", page.text)
    form = Form(page.text)
    assert client.get(f"{at}?dataset=places", headers=HTML).status_code == 404
    assert client.post(at, data=form.with_(do="import", dataset="places"), headers=HTML).status_code == 404
    assert edges.ledger.imports.page() == []


def test_the_panel_of_the_script(browser: Any) -> None:
    headers = {"X-CSRF-Token": token_of(browser)}
    seen = browser.post("/upload/look?whole=true&filename=a.csv", data=CSV, headers=headers).json
    assert (seen["dataset"], seen["rows"], seen["is_refused"]) == ("places", "2 rows", False)
    assert [one["choice"] for one in seen["columns"]] == ["to:id", "to:parentId", "to:name", "to:kind"]
    assert '<div class="up-panel">' in seen["html"]
    assert browser.post("/upload/look", data=CSV).status_code == 403
    refused = browser.post("/upload/look?whole=true&header_row=x", data=CSV, headers=headers)
    assert refused.status_code == 422
    wrong = browser.post("/upload/look?whole=true&dataset=places", data=b"a,b\n1,2\n", headers=headers).json
    assert wrong["is_refused"]
    assert "Choose which" in wrong["html"]
