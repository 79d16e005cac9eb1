"""The pages of a new dataset, without scripts: from a file to a table, its page, a change, and the end of it."""

from __future__ import annotations

import io
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from pipeline.ledger.api_keys import Role
from tests.support.html_page import EVIL, Page
from tests.support.http import button, csrf, signed_in
from tests.support.waiting import wait_until
from tests.support.workers import running_worker
from web.app_context import AppContext

NEW = "/datasets/new"
PRODUCTS = (
    "SKU,Name,Parent SKU,Price,In stock,Added on,Kind\n"
    "00100,Tools,,,true,2026-01-05,group\n"
    "00101,Hammer,00100,12.50,true,2026-02-01,tool\n"
    "00102,Saw,00100,19.90,false,2026-02-02,tool\n"
    "00103,Nails,00100,3.20,true,2026-03-07,part\n"
    "00104,Screws,00100,4.10,true,2026-03-08,part\n"
)


class Fields(HTMLParser):
    """The fields of one form as a browser sends them."""

    def __init__(self, page: str, form_id: str) -> None:
        super().__init__()
        self.sent: list[tuple[str, str]] = []
        self._form_id, self._is_in, self._select, self._text = form_id, False, "", ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = dict(attrs)
        if tag == "form":
            self._is_in = said.get("id") == self._form_id or said.get("action") == self._form_id
        name = said.get("name")
        if tag in ("select", "textarea"):
            self._select, self._text = (name or "") if self._is_in else "", ""
            if tag == "textarea" and self._select:
                self.sent.append((self._select, ""))
        elif tag == "option" and self._select and "selected" in said:
            self.sent.append((self._select, said["value"] or ""))
        elif tag == "input" and self._is_in and name and (said.get("type") not in ("radio", "checkbox") or "checked" in said):
            self.sent.append((name, said.get("value") or ""))

    def handle_data(self, data: str) -> None:
        if self._select.startswith("values-") and self.sent[-1][0] == self._select:
            self.sent[-1] = (self._select, self.sent[-1][1] + data.removeprefix("\n"))

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._is_in = False
        if tag in ("select", "textarea"):
            self._select = ""


def fields(page: str, form: str = "definition", **changed: str | None) -> dict[str, Any]:
    """The fields of a form, some of them changed; None takes one away. A key or a name of a column names its line."""
    sent: dict[str, Any] = {}
    for name, value in Fields(page, form).sent:
        sent.setdefault(name, []).append(value)
    for name, value in changed.items():
        key = name.replace("_at_", "-")
        sent.pop(key, None)
        if value is not None:
            sent[key] = [value]
    return sent


def line_of(sent: dict[str, Any], column: str) -> str:
    """The number of a column's line."""
    return next(name.removeprefix("name-") for name, value in sent.items() if name.startswith("name-") and value == [column])


def give(client: Any, content: str, filename: str = "products.csv") -> Any:
    """Send a file as a browser does, and return the page that it leads to."""
    sent = {"csrf_token": csrf(client, NEW), "pasted": "", "file": (io.BytesIO(content.encode()), filename)}
    answer = client.post(NEW, data=sent, content_type="multipart/form-data")
    assert answer.status_code == 303, answer.text
    return client.get(answer.location)


def test_from_a_file_to_records(browser: Any, edges: AppContext, settings: Any) -> None:
    page = give(browser, PRODUCTS)
    assert page.status_code == 200
    Page(page.text).assert_tame()
    sent = fields(page.text)
    assert sent["name"] == ["products"] and sent["key"] == [line_of(sent, "sku")]
    assert sent["parent"] == [line_of(sent, "parent_sku")]
    types = {sent[f"name-{n}"][0]: sent[f"type-{n}"][0] for n in range(7)}
    assert types["sku"] == "text", "its zeros would be lost"
    assert (types["price"], types["in_stock"], types["added_on"]) == ("numeric", "boolean", "date")
    made = browser.post(f"{NEW}/create", data=sent)
    assert made.status_code == 303, made.text
    page = browser.get(made.location).text
    assert "Import 5 rows" in page and "Nothing is imported yet" not in page
    went = browser.post("/datasets/products/import-draft", data=button(page, "/datasets/products/import-draft"))
    import_id = went.location.rpartition("/")[2]
    with running_worker(settings):
        wait_until(lambda: edges.ledger.imports.known(import_id).state.is_final, 300.0)
    loaded = edges.ledger.imports.known(import_id)
    assert (str(loaded.state), loaded.inserted, loaded.created_by_name) == ("succeeded", 5, "a user of a test")
    assert [*edges.store.list("drafts/")] == []
    assert "00101" in browser.get("/datasets/products/records?under=00100").text
    assert "products" in browser.get("/datasets").text and "Every record has a value." in browser.get("/datasets/products").text


def test_each_choice_says_what_it_would_refuse_in_this_very_file(browser: Any, edges: AppContext) -> None:
    page = give(browser, PRODUCTS).text
    assert "Every record of this file fits." in page
    sent = fields(page)
    price = line_of(sent, "price")
    checked = browser.post(f"{NEW}/check", data={**sent, f"required-{price}": "1", f"type-{line_of(sent, 'sku')}": "text"})
    assert checked.status_code == 200
    assert "Required would refuse 1 record: line 2" in checked.text
    assert "would be refused for 1 record of 5" in checked.text
    again = fields(checked.text)
    assert again[f"required-{price}"] == ["1"], "what was chosen stays chosen"
    kind = line_of(sent, "kind")
    checked = browser.post(f"{NEW}/check", data={**sent, f"values-{kind}": "group\r\ntool"})
    assert "The allowed values would refuse 2 records: line 5, line 6" in checked.text
    checked = browser.post(f"{NEW}/check", data={**sent, f"type-{line_of(sent, 'name')}": "integer"})
    assert "The type would refuse 5 records" in checked.text
    assert "products" not in {one.name for one in edges.definitions.texts()}


def test_what_is_wrong_with_the_form_is_said_beside_it(browser: Any) -> None:
    sent = fields(give(browser, PRODUCTS).text)
    for changed, said in (
        ({"name": "Products!"}, "name"),
        ({"name": "places"}, "Choose another name."),
        ({"key": sent["parent"][0]}, "One column cannot have both"),
        ({f"max_length-{line_of(sent, 'name')}": "long"}, "is not a number of characters"),
    ):
        for action in ("check", "create"):
            answer = browser.post(f"{NEW}/{action}", data={**sent, **changed})
            assert said in Page(answer.text).text, (changed, action)
            assert answer.status_code >= 400 or action == "check"
            assert fields(answer.text)["title"] == sent["title"]


def test_columns_that_are_not_used_are_skipped_by_the_import(browser: Any, edges: AppContext, settings: Any) -> None:
    sent = fields(give(browser, PRODUCTS).text, name="short")
    for column in ("price", "added_on"):
        del sent[f"use-{line_of(sent, column)}"]
    checked = browser.post(f"{NEW}/check", data=sent)
    assert "Every record of this file fits." in checked.text
    assert line_of(fields(checked.text), "price"), "the line is still there, to be used after all"
    made = browser.post(f"{NEW}/create", data=fields(checked.text))
    assert made.status_code == 303, made.text
    went = browser.post(
        "/datasets/short/import-draft", data=button(browser.get(made.location).text, "/datasets/short/import-draft")
    )
    with running_worker(settings):
        wait_until(lambda: edges.ledger.imports.known(went.location.rpartition("/")[2]).state.is_final, 300.0)
    assert edges.ledger.imports.known(went.location.rpartition("/")[2]).inserted == 5
    assert "added_on" not in browser.get("/datasets/short").text


def test_pasted_cells_are_a_file_without_formulas(browser: Any) -> None:
    cells = 'SKU\tName\n007\t=1+1\n008\t=HYPERLINK("x")\n'
    sent = {"csrf_token": csrf(browser, NEW), "pasted": cells, "file": (io.BytesIO(b""), "")}
    answer = browser.post(NEW, data=sent, content_type="multipart/form-data")
    page = browser.get(answer.location).text
    assert "pasted.tsv" in page and "<bdi>=1+1</bdi>" in page
    nothing = browser.post(NEW, data={**sent, "pasted": " ", "file": (io.BytesIO(b""), "")}, content_type="multipart/form-data")
    assert nothing.status_code == 400 and "Choose a file, or paste cells" in nothing.text


def test_a_file_that_cannot_be_read_says_why(browser: Any) -> None:
    for content in ("", "\x00\x01\x02", "SKU\n"):
        sent = {"csrf_token": csrf(browser, NEW), "file": (io.BytesIO(content.encode()), "bad.csv")}
        answer = browser.post(NEW, data=sent, content_type="multipart/form-data")
        answer = browser.get(answer.location) if answer.status_code == 303 else answer
        assert answer.status_code in (400, 422)
        assert 'class="alarm"' in answer.text and 'id="draft"' in answer.text


def test_names_of_files_headers_values_and_titles_are_escaped(browser: Any) -> None:
    content = f'id,parent,"{EVIL.replace(chr(34), chr(34) * 2)}"\na,,"{EVIL.replace(chr(34), chr(34) * 2)}"\nb,a,y\n'
    page = give(browser, content, f"{EVIL}.csv".replace("/", "-"))
    assert page.status_code == 200
    Page(page.text).assert_tame()
    sent = fields(page.text, name="hostile", title=EVIL)
    checked = browser.post(f"{NEW}/check", data=sent)
    Page(checked.text).assert_tame()
    made = browser.post(f"{NEW}/create", data=sent)
    assert made.status_code == 303, made.text
    for path in (made.location, "/datasets/hostile", "/datasets/hostile/change", "/datasets", "/"):
        page = browser.get(path)
        assert page.status_code == 200
        Page(page.text).assert_tame()
        assert "<script>alert" not in page.text


@pytest.fixture
def products(browser: Any) -> str:
    """A dataset that was made of the products, without records."""
    made = browser.post(f"{NEW}/create", data=fields(give(browser, PRODUCTS).text))
    assert made.status_code == 303, made.text
    return "/datasets/products"


def test_a_change_is_shown_before_it_is_made(browser: Any, products: str, edges: AppContext) -> None:
    form = browser.get(f"{products}/change").text
    Page(form).assert_tame()
    sent = fields(form, f"{products}/change")
    number = next(name.removeprefix("added-") for name in sent if name.startswith("added-"))
    sent |= {f"name-{number}": ["units"], f"type-{number}": ["integer"], f"warn-{line_of(sent, 'name')}": ["required"]}
    preview = browser.post(f"{products}/change", data=sent)
    assert preview.status_code == 200, preview.text
    assert "Change products?" in preview.text and "units" in preview.text and "No records are loaded." in preview.text
    assert "units" not in browser.get(products).text, "nothing was changed"
    apply = dict(Fields(preview.text, f"{products}/change/apply").sent)
    back = browser.post(f"{products}/change", data={"csrf_token": apply["csrf_token"], "definition": apply["definition"]})
    assert line_of(fields(back.text, f"{products}/change"), "units"), "on the way back it is still in the form"
    done = browser.post(f"{products}/change/apply", data=apply)
    assert done.status_code == 303, done.text
    page = browser.get(products).text
    assert "units" in page and "version 2 of its definition" in page
    stale = browser.post(f"{products}/change/apply", data=apply)
    assert stale.status_code in (409, 412) and 'class="alarm"' in stale.text


def test_what_cannot_be_changed_is_refused_with_the_reason(browser: Any, products: str) -> None:
    sent = fields(browser.get(f"{products}/change").text, f"{products}/change")
    sent[f"type-{line_of(sent, 'name')}"] = ["integer"]
    answer = browser.post(f"{products}/change", data=sent)
    assert answer.status_code in (409, 422) and 'class="alarm"' in answer.text
    assert fields(answer.text, f"{products}/change")[f"type-{line_of(sent, 'name')}"] == ["integer"]


def test_a_dataset_is_dropped_by_its_name_and_not_without(browser: Any, products: str, edges: AppContext) -> None:
    page = browser.get(products).text
    assert "kept in S3 for 30 days" in page
    sent = button(page, f"{products}/drop")
    for wrong in ("", "product"):
        answer = browser.post(f"{products}/drop", data={**sent, "confirm": wrong})
        assert answer.status_code == 422 and browser.get(products).status_code == 200
    assert browser.post(f"{products}/drop", data={**sent, "confirm": "products"}).location == "/datasets"
    assert browser.get(products).status_code == 404
    assert [one.key for one in edges.store.list("dropped/products/") if one.key.endswith("table.csv.gz")]


def test_the_two_files_are_exported(browser: Any, products: str) -> None:
    for link in re.findall(r'href="(/v1/datasets/products/definition[^"]*)"', browser.get(products).text):
        answer = browser.get(link.replace("&amp;", "&"))
        assert answer.status_code == 200 and "products" in answer.text


def test_a_dataset_of_files_is_shown_and_not_changed_here(browser: Any) -> None:
    page = browser.get("/datasets/places").text
    Page(page).assert_tame()
    assert "defined by two files of the installation" in page and "The tree has at most 20 levels." in page
    assert "/datasets/places/change" not in page and "/datasets/places/drop" not in page
    assert browser.get("/datasets/places/change").status_code == 409
    drop = browser.post("/datasets/places/drop", data={"csrf_token": csrf(browser, NEW), "confirm": "places"})
    assert drop.status_code == 409


CHANGES = (f"{NEW}/check", f"{NEW}/create", "/datasets/places/change", "/datasets/places/change/apply", "/datasets/places/drop")


def test_they_are_for_admins_and_drafts_for_those_who_sent_them(app: Any, browser: Any, edges: AppContext) -> None:
    draft = re.search(r'name="draft" value="([^"]+)"', give(browser, PRODUCTS).text)
    assert draft is not None
    for role in (Role.READER, Role.UPLOADER):
        client = signed_in(app, edges, role)
        token = csrf(client, "/")
        for page in ("/", "/datasets", "/datasets/places"):
            text = client.get(page).text
            assert NEW not in text and "/change" not in text and "/drop" not in text
        for path in (NEW, f"{NEW}?draft={draft[1]}", "/datasets/places/change"):
            assert client.get(path).status_code == 403
        for path in CHANGES:
            assert client.post(path, data={"csrf_token": token, "draft": draft[1]}).status_code == 403, path
        sent = {"csrf_token": token, "file": (io.BytesIO(b"id\n1\n"), "a.csv")}
        assert client.post(NEW, data=sent, content_type="multipart/form-data").status_code == 403
        answer = client.post("/datasets/places/import-draft", data={"csrf_token": token, "draft": draft[1]})
        assert answer.status_code == (404 if role is Role.UPLOADER else 403), "a draft of another key is none"
    other = signed_in(app, edges, Role.ADMIN)
    assert other.get(f"{NEW}?draft={draft[1]}").status_code == 404


def test_every_change_needs_the_token_of_its_form(browser: Any) -> None:
    for path in (*CHANGES, "/datasets/places/import-draft"):
        assert browser.post(path, data={"csrf_token": "wrong"}).status_code == 403, path
    sent = {"file": (io.BytesIO(b"id\n1\n"), "a.csv")}
    assert browser.post(NEW, data=sent, content_type="multipart/form-data").status_code == 403
