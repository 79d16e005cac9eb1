"""What people are told: about wrong parameters, addresses and names, about datasets without a table, about whose a file is."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from pipeline.contracts.states import State
from pipeline.ledger.api_keys import Role
from pipeline.settings import ROOT, Settings
from pipeline.warehouse.dataset_source import DatasetSource
from tests.support.http import Caller, follow_link
from tests.support.imports import MakeImport
from web import create_app
from web.app_context import AppContext

UPLOAD = "/v1/datasets/places/imports"
WRONG = [
    (
        "POST",
        f"{UPLOAD}?max_error=5",
        {},
        "Unknown parameter max_error. Did you mean max_errors? Known: filename, delimiter,",
    ),
    ("POST", f"{UPLOAD}?max_errors=many", {}, "max_errors must be a whole number, not 'many'."),
    ("POST", f"{UPLOAD}?max_errors=-1", {}, "max_errors must be at least 0, not '-1'."),
    ("POST", f"{UPLOAD}?max_error_ratio=2", {}, "max_error_ratio must be at most 1, not '2'."),
    ("POST", f"{UPLOAD}?max_error_ratio=x", {}, "max_error_ratio must be a number, not 'x'."),
    ("POST", f"{UPLOAD}?dry_run=maybe", {}, "dry_run must be true or false, not 'maybe'."),
    (
        "POST",
        f"{UPLOAD}?on_error=quarantene",
        {},
        "on_error must be one of reject, quarantine, not 'quarantene'. Did you mean quarantine?",
    ),
    ("POST", f"{UPLOAD}?delimiter=semikolon", {}, "not 'semikolon'. Did you mean semicolon?"),
    ("POST", f"{UPLOAD}?mapping=x", {}, 'mapping: must be a JSON object of texts, such as {"Name": "name"}.'),
    (
        "POST",
        f"{UPLOAD}?mapping=%7B%22a%22:%22nam%22%7D",
        {},
        "which places does not have. Did you mean name? Its columns: id,",
    ),
    ("GET", "/v1/imports?state=succeded", {}, "not 'succeded'. Did you mean succeeded?"),
    ("GET", "/v1/imports?limit=0", {}, "limit must be at least 1, not '0'."),
    (
        "GET",
        "/v1/imports?datset=places",
        {},
        "Did you mean dataset? Known: limit, cursor, dataset, state, text, by, since, until, with_errors.",
    ),
    ("GET", "/v1/datasets/places/records?parentID=FR", {}, "Unknown parameter parentID. Did you mean parentId?"),
    ("POST", "/v1/query", {"json": {"sq": "select 1"}}, "Did you mean sql?"),
    ("POST", "/v1/query", {"json": {}}, "sql is missing."),
    ("POST", "/v1/query", {"json": {"sql": 1}}, "sql must be a text, not 1."),
    ("POST", "/v1/query", {"json": []}, "must be a JSON object"),
    (
        "POST",
        "/v1/query?format=exel",
        {"json": {"sql": "select 1"}},
        "format must be one of json, csv, parquet, arrow, xlsx, not 'exel'.",
    ),
    (
        "PUT",
        "/v1/datasets/places/mappings",
        {"json": {"columns": [], "mapping": {}}},
        "columns must have at least 1 item, not a list of 0.",
    ),
    ("PUT", "/v1/datasets/places/mappings", {"json": {"columns": "a", "mapping": {}}}, "columns must be a list, not 'a'."),
    (
        "PUT",
        "/v1/datasets/places/mappings",
        {"json": {"columns": ["a"], "mapping": "x"}},
        "mapping must be an object of names",
    ),
    (
        "POST",
        "/v1/keys",
        {"json": {"name": "", "role": "reder"}},
        "name must have at least 1 character, not ''. role must be one of reader,",
    ),
    (
        "POST",
        "/v1/datasets/placs/imports",
        {},
        "There is no dataset 'placs'. Did you mean places? Datasets here: places, records.",
    ),
    ("GET", "/v1/import", {}, "There is nothing at /v1/import. Did you mean /v1/imports? See /openapi.json"),
    ("POST", "/v1/dataset/places/import", {}, "Did you mean /v1/datasets/places/imports?"),
    ("GET", "/v1/nothing/like/it/at/all", {}, "There is nothing at /v1/nothing/like/it/at/all. See /openapi.json"),
    (
        "GET",
        "/s3/params?filename=a&metadata[max_error]=1&metadata[max_errors]=x&dataset=places",
        {},
        "must be a whole number",
    ),
]
LIBRARY = ("Extra inputs", "Input should", "is not permitted", "Field required", "Value error", "a valid")


@pytest.mark.parametrize(("method", "path", "options", "said"), WRONG, ids=[f"{m} {p}" for m, p, *_ in WRONG])
def test_a_wrong_request_is_answered_in_plain_words(
    caller_for: Callable[[str], Caller], method: str, path: str, options: dict[str, Any], said: str
) -> None:
    answer = caller_for("admin")(method, path, **options)
    assert 400 <= answer.status_code < 500, answer.text
    assert said in answer.json["detail"], answer.json["detail"]
    assert not [words for words in LIBRARY if words in answer.text]


def test_the_pages_form_says_the_same(browser: FlaskClient) -> None:
    page = browser.get("/imports?state=loadin", headers={"Accept": "text/html"})
    assert page.status_code == 400
    assert "Unknown state &#39;loadin&#39;. Did you mean loading?" in page.text


ERRORS = ["/nothing", "/imports/x", "/import", "/datasets/none/records", "/imports?since=never"]


@pytest.mark.parametrize("path", ERRORS)
def test_a_page_that_says_no_keeps_the_navigation(app: Any, browser: FlaskClient, path: str) -> None:
    page = browser.get(path, headers={"Accept": "text/html"})
    assert page.status_code in (400, 404)
    for link in ('href="/imports"', 'href="/datasets"', 'href="/sql"', 'href="/admin/keys"', "Sign out"):
        assert link in page.text
    stranger = app.test_client().get("/nothing", headers={"Accept": "text/html"})
    assert stranger.status_code == 404 and 'href="/sign-in"' in stranger.text and "Sign out" not in stranger.text


def test_an_address_nearby_is_offered(browser: FlaskClient) -> None:
    assert "Did you mean /imports?" in browser.get("/import", headers={"Accept": "text/html"}).text


@pytest.fixture
def with_products(tmp_path: Path, settings: Settings, edges: AppContext) -> AppContext:
    """A dataset was added below BULKHEAD_DATASETS_ROOT, and nothing was migrated."""
    root = tmp_path / "root"
    for folder in ("expectations", "sql"):
        shutil.copytree(ROOT / folder, root / folder)
    suite = (root / "expectations" / "records.json").read_text().replace('"records"', '"products"')
    (root / "expectations" / "products.json").write_text(suite)
    table = (root / "sql" / "tables" / "records.sql").read_text().replace("records", "products")
    (root / "sql" / "tables" / "products.sql").write_text(table)
    settings = settings.model_copy(update={"datasets_root": root})
    return dataclasses.replace(edges, settings=settings, datasets=DatasetSource(settings, edges.engine))


def test_a_dataset_without_its_table_takes_no_file(with_products: AppContext, settings: Settings) -> None:
    app = create_app(settings, context=with_products)
    token, key = with_products.keys.create("an uploader", Role.UPLOADER)
    caller, page = Caller(app.test_client(), token), app.test_client()
    assert follow_link(page, with_products.keys.sign_in_token(key.id)).status_code == 303
    said = "products has no table yet; run `bulkhead migrate`."
    for answer in (
        caller.upload(b"id,name\na,A\n", dataset="products"),
        caller.post("/s3/multipart", json={"filename": "a.csv", "metadata": {"dataset": "products"}}),
        caller.get("/s3/params?filename=a.csv&dataset=products"),
        caller.get("/v1/datasets/products/records"),
    ):
        assert (answer.status_code, answer.json["code"], answer.json["detail"]) == (409, "no_table", said)
    assert with_products.ledger.imports.page(limit=1) == []
    shown = page.get("/").text
    assert "products has no table yet; run <code>bulkhead migrate</code>" in shown
    assert 'name="dataset" value="products" disabled' in shown
    assert 'name="dataset" value="places">' in shown
    assert said in page.get("/datasets/products/records", headers={"Accept": "text/html"}).text
    assert caller.upload(b"id\nFR\n").status_code == 202, "the others go on"


def test_the_page_shows_which_key_uploaded_a_file(api: Caller, browser: FlaskClient, make_import: MakeImport) -> None:
    mine = api.upload(b"id\nFR\n").json
    assert mine["created_by"]["name"] == "a test's uploader"
    assert api.get(f"/v1/imports/{mine['id']}").json["created_by"] == mine["created_by"]
    dropped = make_import(State.VALIDATING)
    assert api.get(f"/v1/imports/{dropped}").json["created_by"] is None
    assert "a test&#39;s uploader" in browser.get(f"/imports/{mine['id']}").text
    assert mine["created_by"]["id"] in browser.get(f"/imports/{mine['id']}").text
    assert "file dropped into the bucket" in browser.get(f"/imports/{dropped}").text
    assert "a test&#39;s uploader" in browser.get("/imports").text


def test_a_preview_takes_the_name_that_an_upload_takes(api: Caller) -> None:
    answer = api.post(
        "/v1/datasets/places/preview?filename=places.csv&whole=true", data=b"id,parentId,name,kind\nFR,,France,Country\n"
    )
    assert (answer.status_code, answer.json["rows"]) == (200, [["FR", None, "France", "Country"]])


def test_a_duplicate_is_known_content_and_no_failure(browser: FlaskClient, make_import: MakeImport, edges: AppContext) -> None:
    counts = {"records_total": 7, "records_valid": 7, "unprocessed": 7}
    earlier = make_import(State.VALIDATING, State.CANCELED, filename="first.csv", **counts)
    again = make_import(State.VALIDATING, State.DUPLICATE, duplicate_of=earlier)
    page = browser.get(f"/imports/{again}").text
    assert 'class="stopped"' not in page
    assert '<li class="done">Known content' in page
    assert "<caption>Validation" not in page
    assert f'href="/imports/{earlier}"' in page and "first.csv" in page
    assert '<th>records in the file</th><td class="n">7</td>' in page
