"""Before an upload: a template, a look at a file's beginning, and a mapping that is remembered."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from openpyxl import load_workbook

from pipeline.contracts.messages import ObjectArrived
from pipeline.contracts.states import State
from pipeline.errors import Crashed
from pipeline.sandbox import process
from pipeline.settings import Settings
from tests.support.matching import PRODUCTS, workbook
from tests.support.waiting import wait_until
from tests.support.workers import running_worker
from web.app_context import PREVIEWS_AT_ONCE, AppContext
from web.services import previews

CSV = "Kürzel;parent_id;Name;kind;junk\nFR;;France;Country;x\nFR-75;FR;Paris;Department;y\n".encode()
MAPPING = {"Kürzel": "id", "parent_id": "parentId", "Name": "name", "junk": ""}
NAMES = ["Kürzel", "parent_id", "Name", "kind", "junk"]


def look(api: Any, body: bytes = CSV, query: str = "?whole=true") -> Any:
    return api.post(f"/v1/datasets/places/preview{query}", data=body)


def test_a_template_is_a_download(api: Any) -> None:
    answer = api.get("/v1/datasets/places/template")
    assert answer.headers["Content-Disposition"] == 'attachment; filename="places.csv"'
    assert answer.text.splitlines()[0] == "id,parentId,name,kind,alpha_3,numeric_code,flag"
    book = load_workbook(io.BytesIO(api.get("/v1/datasets/places/template?format=xlsx").data))
    assert [cell.value for cell in book.active[1]][:3] == ["id", "parentId", "name"]
    assert api.get("/v1/datasets/places/template?format=pdf").json["code"] == "invalid_parameter"
    assert api.get("/v1/datasets/nonsense/template").json["code"] == "unknown_dataset"


def test_a_preview(api: Any, edges: AppContext) -> None:
    answer = look(api)
    assert answer.status_code == 200, answer.text
    seen = answer.json
    assert (seen["format"], seen["delimiter"], seen["remembered"]) == ("csv", ";", False)
    assert seen["text"] == "CSV, semicolon, UTF-8"
    assert seen["rows"] == [["FR", None, "France", "Country", "x"], ["FR-75", "FR", "Paris", "Department", "y"]]
    assert [(one["name"], one["becomes"], one["suggested"], one["why"]) for one in seen["columns"]] == [
        ("Kürzel", None, "id", "similar"),
        ("parent_id", "parentId", "parentId", ""),
        ("Name", "name", "name", ""),
        ("kind", "kind", "kind", ""),
        ("junk", None, None, ""),
    ]
    key, parent = seen["columns"][:2]
    assert (key["suggested_by"], key["reason"], key["samples"]) == (
        "synonym",
        '"Kürzel" is a name for an ID (German). Its 2 values are unique.',
        ["FR", "FR-75"],
    )
    assert parent["suggested_by"] == "header" and "apart from case" in parent["reason"]
    assert (seen["dataset"], seen["new_dataset"], [one["dataset"] for one in seen["datasets"]]) == ("places", False, ["places"])
    assert (seen["tree"]["records"], seen["tree"]["roots"], seen["tree"]["levels"]) == (2, 1, 2)
    assert [(one["code"], one["column"]) for one in seen["would_reject"]] == [("unknown_column", "junk")]
    assert [(one["option"], one["value"]) for one in seen["offers"]] == [("mapping", {"junk": ""})]
    assert (seen["header_row"], seen["first_rows"][0]) == (1, {"row": 1, "cells": NAMES})
    assert (seen["takes"][:2], seen["needs"], seen["takes_others"]) == (
        ["id", "parentId"],
        ["id", "parentId", "name", "kind"],
        False,
    )
    assert edges.ledger.imports.page() == [], "nothing of it is kept"
    assert [*edges.store.list("")] == []
    assert look(api, query="?whole=true&delimiter=comma").json["columns"][0]["name"] == NAMES[0] + ";" + ";".join(NAMES[1:])


def test_a_preview_shows_the_tree_that_a_shape_makes(api: Any) -> None:
    asked = {
        "shape": json.dumps({"kind": "levels", "columns": ["Region", "Country"]}),
        "clean": '{"trim": true}',
        "whole": "true",
    }
    body = b"Region,Country\nEurope,France\n Europe,Spain\n"
    seen = api.post("/v1/datasets/records/preview", query_string=asked, data=body).json
    tree = seen["tree"]
    assert (tree["records"], tree["generated"], tree["roots"], tree["levels"], tree["problem"]) == (3, 1, 1, 2, "")
    assert tree["nodes"][1] == {"level": 2, "id": "Europe/France", "name": "France", "children": 0}
    assert seen["options"]["shape"]["kind"] == "levels"
    wrong = api.post("/v1/datasets/records/preview", query_string={"shape": '{"kind": "levels"}'}, data=body)
    assert (wrong.status_code, wrong.json["code"]) == (422, "invalid_parameter"), wrong.text
    assert "needs columns" in wrong.json["detail"]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [(b"", 422, "unreadable_file"), (b"%PDF-1.7", 422, "unreadable_file"), (b"x" * (previews.BYTES_MAX + 1), 413, "too_large")],
)
def test_what_cannot_be_previewed(api: Any, body: bytes, status: int, code: str) -> None:
    answer = look(api, body)
    assert (answer.status_code, answer.json["code"]) == (status, code)


def test_a_preview_is_bounded(api: Any, edges: AppContext, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: Any, **limits: Any) -> None:
        assert limits == {"memory_bytes": 1 << 30, "seconds": 20.0, "file_bytes": 512 << 20, "server": process.PREVIEW}
        raise Crashed("It took more than 20 seconds.")

    monkeypatch.setattr(process, "run", crash)
    monkeypatch.setattr(previews, "WAIT_SECONDS", 0.1)
    answer = look(api)
    assert (answer.status_code, answer.json["code"]) == (422, "unreadable_file")
    for _ in range(PREVIEWS_AT_ONCE):
        assert edges.previews.acquire(blocking=False)
    busy = look(api)
    assert (busy.status_code, busy.json["code"]) == (503, "busy")
    for _ in range(PREVIEWS_AT_ONCE):
        edges.previews.release()


def test_a_mapping_is_remembered_for_the_dataset_and_the_header(api: Any, caller_for: Callable[[str], Any]) -> None:
    assert api("PUT", "/v1/datasets/places/mappings", json={"columns": NAMES, "mapping": MAPPING}).status_code == 204
    answer = look(caller_for("uploader"))
    assert answer.status_code == 200, answer.text
    seen = answer.json
    assert seen["remembered"] is True
    assert {one["name"]: one["suggested"] for one in seen["columns"]} == {**MAPPING, "kind": "kind"}
    assert [one["why"] for one in seen["columns"]] == ["remembered", "remembered", "remembered", "", "remembered"]
    assert look(api, CSV.replace(b"junk", b"jonk")).json["remembered"] is False
    assert api.post("/v1/datasets/records/preview?whole=true", data=CSV).json["remembered"] is False
    assert api("PUT", "/v1/datasets/places/mappings", json={"columns": NAMES[::-1], "mapping": {}}).status_code == 204
    again = look(api).json
    assert again["columns"][0]["suggested_by"] is None
    assert (again["remembered"], again["columns"][0]["suggested"]) == (True, None), "that nothing was meant is remembered too"


def test_options_of_reading_are_remembered_for_the_header_and_for_the_name(api: Any) -> None:
    bars = b"id|parentId|name\n1||a,b\n"
    asked = {"columns": ["id", "parentId", "name"], "mapping": {}, "options": {"delimiter": "|", "no_parent_values": ["0"]}}
    assert api("PUT", "/v1/datasets/records/mappings", json={**asked, "filename": "export 2026-11-01.csv"}).status_code == 204

    def seen(query: str, body: bytes = bars) -> Any:
        answer = api.post(f"/v1/datasets/records/preview?whole=true&{query}", data=body)
        assert answer.status_code == 200, answer.text
        return answer.json

    by_name = seen("filename=export+2026-12-31.csv")
    assert (by_name["options"], by_name["delimiter"]) == ({"delimiter": "|", "no_parent_values": ["0"]}, "|")
    assert seen("filename=other.csv")["options"] == {"delimiter": "|", "no_parent_values": ["0"]}, "by its columns"
    assert seen("filename=other.csv", b"id,parentId\n1,\n")["options"] == {}
    assert seen("delimiter=comma&filename=export+2026-12-31.csv")["options"] == {"delimiter": ","}, (
        "what is asked for comes first"
    )
    assert api("PUT", "/v1/datasets/records/mappings", json={**asked, "options": {"quote": "ab"}}).status_code == 422


@pytest.mark.parametrize(
    "body",
    [
        {"columns": [], "mapping": {}},
        {"columns": ["a"], "mapping": {"a": "nonsense"}},
        {"columns": ["a"]},
        [],
        {"columns": "a"},
    ],
)
def test_what_cannot_be_remembered(api: Any, body: Any) -> None:
    answer = api("PUT", "/v1/datasets/places/mappings", json=body)
    assert (answer.status_code, answer.json["code"]) == (422, "invalid_parameter")


def test_a_mapped_file_is_loaded_and_known_again_by_its_mapping(api: Any, edges: AppContext, settings: Settings) -> None:
    mapping = json.dumps(MAPPING)

    def imported(**query: str) -> Any:
        made = api.post("/v1/datasets/places/imports", query_string={"filename": "a.csv", **query}, data=CSV).json
        edges.temporal.announce(ObjectArrived(edges.store.bucket, made["source"]["key"], made["id"]))
        wait_until(lambda: edges.ledger.imports.known(made["id"]).state.is_final, seconds=600.0)
        return edges.ledger.imports.known(made["id"])

    with running_worker(settings):
        first, again, plain = imported(mapping=mapping), imported(mapping=mapping), imported()
    assert (first.state, first.inserted, first.options.mapping) == (State.SUCCEEDED, 2, MAPPING)
    assert again.state is State.DUPLICATE
    assert plain.state is State.REJECTED, "the same content under other names is another import"
    assert api.get("/v1/datasets/places/records/FR-75").json["name"] == "Paris"


def test_the_page_may_connect_to_where_uploads_are_signed_for(
    browser: Any, app: Any, edges: AppContext, settings: Settings
) -> None:
    policy = browser.get("/").headers["Content-Security-Policy"]
    assert f"; connect-src 'self' {settings.s3_endpoint}" in policy
    assert policy.endswith(str(settings.s3_endpoint)), "and nowhere else"
    assert "connect-src" not in browser.get("/imports").headers["Content-Security-Policy"]


def look_anywhere(api: Any, body: bytes, query: str = "?whole=true") -> Any:
    answer = api.post(f"/v1/preview{query}", data=body)
    assert answer.status_code == 200, answer.text
    return answer.json


def test_a_preview_finds_the_dataset(api: Any, edges: AppContext) -> None:
    seen = look_anywhere(api, PRODUCTS.encode())
    assert (seen["dataset"], seen["new_dataset"], seen["records"], seen["is_whole"]) == ("records", False, 3, True)
    best, other = seen["datasets"]
    assert (best["fits"], best["matched"], best["required"], best["last_used"]) == (1.0, 2, 2, None)
    assert (other["dataset"], other["missing"]) == ("places", ["kind"])
    assert [(one["suggested"], one["suggested_by"], one["why"]) for one in seen["columns"]] == [
        ("id", "synonym", "similar"),
        ("parentId", "synonym", "similar"),
        ("name", "synonym", "similar"),
        ("Price", None, ""),
    ]
    assert (seen["tree"]["roots"], seen["tree"]["children_most"], seen["would_reject"]) == (1, 2, [])
    assert look_anywhere(api, PRODUCTS.encode(), "?whole=true&dataset=places")["dataset"] == "places"
    nothing = look_anywhere(api, b"colour,size\nred,5\nred,6\n")
    assert (nothing["dataset"], nothing["new_dataset"], nothing["takes"], nothing["tree"]) == (None, True, [], None)
    assert api.post("/v1/preview?dataset=nonsense", data=b"id\n1\n").json["code"] == "unknown_dataset"
    assert edges.ledger.imports.page() == [] and [*edges.store.list("")] == []


def test_the_dataset_that_a_header_was_last_used_for_comes_first(api: Any) -> None:
    names = ["Code", "Under", "Name", "kind"]
    body = b"Code,Under,Name,kind\nFR,,France,Country\nFR-75,FR,Paris,Department\n"
    mapping = {"Code": "id", "Under": "parentId"}
    assert look_anywhere(api, body)["dataset"] == "places"
    assert api("PUT", "/v1/datasets/records/mappings", json={"columns": names, "mapping": mapping}).status_code == 204
    seen = look_anywhere(api, body)
    assert (seen["dataset"], seen["remembered"]) == ("records", True)
    assert {one["dataset"]: bool(one["last_used"]) for one in seen["datasets"]} == {"places": False, "records": True}
    assert seen["columns"][0]["reason"] == "It was id in the last file with this header."
    assert look_anywhere(api, body, "?whole=true&dataset=places")["remembered"] is False


def test_what_was_recognised_is_among_the_options(api: Any) -> None:
    seen = look_anywhere(api, workbook())
    assert (seen["header_row"], seen["options"], seen["sheets"]) == (4, {"header_row": 4}, ["Staff"])
    assert [one["code"] for one in seen["would_reject"]] == ["missing_parent"] * 3, "the warehouse has none of them either"
    assert seen["would_reject"][0]["cell"] == "C7"
    asked = {"whole": "true", "parent_by": "id,name", "clean": '{"skip_totals": true}', "mapping": '{"Job title": ""}'}
    answer = api.post("/v1/preview", query_string=asked, data=workbook())
    accepted = answer.json
    assert answer.status_code == 200 and accepted["would_reject"] == [], answer.text
    assert (accepted["tree"]["records"], accepted["tree"]["roots"], accepted["tree"]["misfits_total"]) == (7, 1, 0)
    assert accepted["columns"][3]["suggested"] == ""
    wrong = api.post("/v1/preview", query_string={"mapping": '{"Manager": "nonsense"}', "dataset": "records"}, data=workbook())
    assert (wrong.status_code, wrong.json["code"]) == (422, "invalid_parameter")


def test_an_org_chart_is_loaded_as_it_was_previewed(api: Any, edges: AppContext, settings: Settings) -> None:
    accepted = {"parent_by": "id,name", "clean": '{"skip_totals": true}'}
    seen = api.post("/v1/preview", query_string={"whole": "true", **accepted}, data=workbook()).json
    mapping = {one["name"]: one["suggested"] for one in seen["columns"] if one["suggested"] != one["becomes"]}
    asked = {"filename": "staff.xlsx", "mapping": json.dumps(mapping), "header_row": seen["options"]["header_row"], **accepted}
    made = api.post("/v1/datasets/records/imports", query_string=asked, data=workbook()).json
    with running_worker(settings):
        edges.temporal.announce(ObjectArrived(edges.store.bucket, made["source"]["key"], made["id"]))
        wait_until(lambda: edges.ledger.imports.known(made["id"]).state.is_final, seconds=600.0)
    done = edges.ledger.imports.known(made["id"])
    assert (done.state, done.inserted) == (State.SUCCEEDED, 7)
    assert api.get("/v1/datasets/records/records/1003").json["parentId"] == "1001"
