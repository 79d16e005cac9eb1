"""Data Docs in the app: validation runs page by page, the suite in words, and the links between them, imports and findings."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from pipeline.adapters.s3 import Store
from pipeline.contracts.states import State
from pipeline.ledger.api_keys import Role
from tests.support.html_page import Page
from tests.support.http import signed_in
from tests.support.imports import MakeImport
from tests.support.rejected_import import reject_file
from web.app_context import AppContext
from web.pages import validations

RUNS, SUITE = "/datasets/places/validations", "/datasets/places/suite"
BROKEN = "id,parentId,name,kind,alpha_3\nXA,,Atlantis,Country,ATLA\nXA-1,XB,Lost Valley,Province,\nXA-2,XA,,Province,\n"
GOOD = "id,parentId,name,kind,alpha_3\nXA,,Atlantis,Country,ATL\n"


def links(page: str) -> set[str]:
    """The addresses that a page links to."""
    return {str(one.get("href")) for one in Page(page).all("a")}


@pytest.fixture
def broken(edges: AppContext, store: Store, tmp_path: Path) -> str:
    """The id of an import with four kinds of findings."""
    return reject_file(edges, store, tmp_path / "broken", BROKEN)


def test_from_the_index_to_a_run_its_import_its_findings_and_back(browser: Any, broken: str) -> None:
    run, one, findings = f"/imports/{broken}/report", f"/imports/{broken}", f"/imports/{broken}/findings"
    index = browser.get(RUNS).text
    assert {run, one, SUITE} <= links(index)
    report = browser.get(run).text
    assert {one, findings, RUNS, SUITE, f"/v1/imports/{broken}/validation"} <= links(report)
    assert {run, SUITE} <= links(browser.get(findings).text)
    assert {run, RUNS} <= links(browser.get(one).text)
    docs = browser.get(f"/v1/imports/{broken}/report/").text
    assert {one, findings, RUNS, SUITE} <= links(docs), "the page by Great Expectations' renderers leads back too"
    assert {RUNS, SUITE} <= links(browser.get("/datasets").text)


def test_what_each_file_did_not_meet(browser: Any, api: Any, edges: AppContext, store: Store, tmp_path: Path) -> None:
    ids = [reject_file(edges, store, tmp_path / str(n), text) for n, text in enumerate([BROKEN, BROKEN, GOOD])]
    verdicts = json.loads(api.get(f"/v1/imports/{ids[0]}/validation").data)["statistics"]
    evaluated, met = verdicts["evaluated_expectations"], verdicts["successful_expectations"]
    newest, *_, first = api.get("/v1/datasets/places/validations").json["items"]
    assert newest["expectations"] == {"evaluated": evaluated, "met": evaluated, "unmet": []}
    assert (first["expectations"]["evaluated"], first["expectations"]["met"]) == (evaluated, met)
    unmet = {(one["rule"], one["column"], one["severity"], one["records"]) for one in first["expectations"]["unmet"]}
    assert ("Every parent is in the file or in the warehouse.", None, "error", 1) in unmet
    assert ("Every record has a value.", "name", "error", 1) in unmet
    assert len(unmet) == evaluated - met == 3
    index = browser.get(RUNS).text
    assert f"{evaluated} of {evaluated}" in index and f"{met} of {evaluated}" in index
    assert index.count("2 of 3") == 3, "each of the three, in two of three files"
    suite = browser.get(SUITE).text
    assert suite.count("2 of 3 files") == 3 and "none of 3 files" in suite
    assert f'<a href="/imports/{ids[1]}/report">2 of 3 files</a>' in suite, "the newest of them"
    assert "expectations" not in api.get(f"/v1/imports/{ids[0]}").json["source"]


def test_runs_are_paged(browser: Any, api: Any, make_import: MakeImport, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validations, "RUNS_SHOWN", 2)
    ids = [make_import(State.VALIDATING, State.REJECTED, records_total=1) for _ in range(5)][::-1]
    page, seen = browser.get(RUNS).text, []
    while True:
        seen += re.findall(r'<a href="/imports/([^"/]+)/report">Report', page)
        older = re.search(rf'href="({RUNS}\?before=[^"]+)">Older', page)
        if older is None:
            break
        page = browser.get(older[1]).text
        assert f'href="{RUNS}">Newest' in page
    assert seen == ids
    found, cursor = [], None
    while True:
        answer = api.get("/v1/datasets/places/validations", query_string={"limit": 2, **({"cursor": cursor} if cursor else {})})
        found += [one["id"] for one in answer.json["items"]]
        cursor = answer.json["next_cursor"]
        if cursor is None:
            break
    assert found == ids
    assert all(one["expectations"] is None for one in answer.json["items"]), "validated before this was stored"
    assert "not known" in page
    assert browser.get(f"{RUNS}?before={ids[-1]}").text.count("No older files.") == 1
    assert browser.get(f"{RUNS}?before=nothing").status_code == 404


def test_the_suite_in_words(browser: Any) -> None:
    page = Page(browser.get(SUITE).text)
    for said in (
        "Every record has a value.",
        "Values have 3 characters.",
        "The tree has at most 20 levels.",
        "Every parent is in the file or in the warehouse.",
        "missing_id",
        "the ID of the parent; empty for a root",
    ):
        assert said in page.text
    assert browser.get("/datasets/nothing/suite").status_code == 404


def test_the_verdicts_are_a_download(api: Any, broken: str, make_import: MakeImport) -> None:
    answer = api.get(f"/v1/imports/{broken}/validation")
    assert answer.headers["Content-Disposition"] == f'attachment; filename="validation-{broken}.json"'
    found = json.loads(answer.data)
    assert found["success"] is False
    assert {"expectation_config", "success", "result", "exception_info", "meta"} <= found["results"][0].keys()
    assert api.get(f"/v1/imports/{make_import()}/validation").json["code"] == "no_report"


def test_only_the_datasets_of_the_key(app: Any, edges: AppContext, broken: str) -> None:
    other = signed_in(app, edges, Role.READER, datasets=["records"])
    for path in (RUNS, SUITE, f"/imports/{broken}/report", f"/v1/imports/{broken}/validation", f"{RUNS}?before={broken}"):
        assert other.get(path).status_code == 404
    assert other.get(f"/datasets/records/validations?before={broken}").status_code == 404
    assert "/datasets/places" not in other.get("/datasets").text
