"""A rejected file is edited and imported again: the file itself stays, the retry has the edits, and both know of each other."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

import openpyxl
import psycopg
import pytest

from pipeline.contracts.messages import ObjectArrived
from pipeline.settings import Settings
from tests.support.http import Caller
from tests.support.waiting import wait_until
from tests.support.workers import running_worker
from web.app_context import AppContext

Ended = Callable[[Any], Any]
HEAD = "id,parentId,name,kind\n"


@pytest.fixture
def worker(settings: Settings) -> Iterator[None]:
    with running_worker(settings):
        yield


@pytest.fixture
def ended(api: Caller, edges: AppContext, worker: None) -> Ended:
    """An import's end, as its answer says it; with us for the relay that brings S3's events."""

    def wait(made: Any) -> Any:
        assert made.status_code == 202, made.json
        one = edges.ledger.imports.known(made.json["id"])
        edges.temporal.announce(ObjectArrived(one.bucket, one.key, one.id))
        wait_until(lambda: edges.ledger.imports.known(one.id).state.is_final, seconds=600.0)
        return api.get(f"/v1/imports/{one.id}").json

    return wait


def places(rows: int) -> str:
    """A file of a country and its regions with 40 errors: kinds that are missing, a misspelt parent, a note, a root."""
    lines = ["FR,,France,Country"]
    for number in range(2, rows + 1):
        id_ = f"FR-{number:03d}"
        parent = {50: "FX", 52: "ZZ"}.get(number, "FR")
        lines.append(
            "note,,,see below" if number == 51 else f"{id_},{parent},Region {number},{'' if 11 <= number <= 47 else 'Region'}"
        )
    return HEAD + "\n".join(lines) + "\n"


def change(api: Caller, one: Any, version: int, **body: Any) -> Any:
    answer = api("PATCH", f"/v1/imports/{one['id']}/patch", json=body, headers={"If-Match": f'"{version}"'})
    assert answer.status_code == 200, answer.json
    return answer.json


def loaded(settings: Settings) -> dict[str, tuple[Any, ...]]:
    with psycopg.connect(settings.database_url) as connection:
        rows = connection.execute('select id, "parentId", kind, _row from warehouse.places').fetchall()
    return {row[0]: row[1:] for row in rows}


def test_a_rejected_file_is_mended_in_place_and_imported_again(
    api: Caller, ended: Ended, edges: AppContext, settings: Settings
) -> None:
    first = ended(api.post("/v1/datasets/places/imports?filename=a.csv", data=places(200).encode()))
    assert (first["state"], first["counts"]["total"]) == ("rejected", 200)
    found = api.get(f"/v1/imports/{first['id']}/errors?limit=1000").json["items"]
    assert len({one["row"] for one in found if one["severity"] == "error"}) == 40
    before = edges.store.head(first["source"]["key"])
    empty = next(one for one in found if one["row"] == 11)
    like = {"code": empty["code"], "column": empty["column"], "value": empty["value"], "new": "Region"}
    assert change(api, first, 0, like=like)["changed"] == 37
    told = change(
        api, first, 1, edits=[{"row": 50, "column": "parentId", "new": "FR", "old": "FX"}], skip_rows=[51], roots=[52]
    )
    assert (told["version"], told["edits"], told["skipped_rows"], told["roots"]) == (2, 39, 1, 1)

    stale = api.post(f"/v1/imports/{first['id']}/retry", json={"patch": 1})
    assert (stale.status_code, stale.json["code"], stale.json["version"]) == (412, "patch_conflict", 2)
    made = api.post(f"/v1/imports/{first['id']}/retry", json={"patch": 2})
    assert made.json["source"]["filename"] == "a (retry).csv"
    again = ended(made)

    assert (again["state"], again["counts"]["total"], again["counts"]["inserted"]) == ("succeeded", 199, 199), again["reason"]
    assert again["patch"] == {"import_id": first["id"], "version": 2}
    assert again["findings"]["by_code"] == {"patched_file": 2}
    table = loaded(settings)
    assert (len(table), table["FR-050"], table["FR-052"]) == (199, ("FR", "Region", 50), (None, "Region", 52))
    assert table["FR-200"] == ("FR", "Region", 200)  # each has the number of its row in the file
    assert "note" not in table
    after = edges.store.head(first["source"]["key"])
    assert before is not None
    assert after is not None
    assert (after.etag, after.modified) == (before.etag, before.modified)
    first = api.get(f"/v1/imports/{first['id']}").json
    assert (first["retried_by"], again["retry_of"]) == ([again["id"]], first["id"])
    assert again["links"]["retry_of"] == first["links"]["self"]
    assert first["links"]["retried_by"] == [again["links"]["self"]]


def test_the_same_edits_once_more_are_a_duplicate_and_others_are_not(api: Caller, ended: Ended, settings: Settings) -> None:
    first = ended(
        api.post("/v1/datasets/places/imports?filename=a.csv", data=(HEAD + "FR,,France,Country\nDE,,,Country\n").encode())
    )
    change(api, first, 0, edits=[{"row": 2, "column": "name", "new": "Germany"}])
    assert ended(api.post(f"/v1/imports/{first['id']}/retry?patch=1"))["state"] == "succeeded"
    assert ended(api.post(f"/v1/imports/{first['id']}/retry", json={"patch": 1}))["state"] == "duplicate"
    change(api, first, 1, edits=[{"row": 2, "column": "name", "new": "Deutschland"}])
    third = ended(api.post(f"/v1/imports/{first['id']}/retry", json={"patch": 2}))
    assert (third["state"], third["counts"]["updated"]) == ("succeeded", 1)
    assert len(api.get(f"/v1/imports/{first['id']}").json["retried_by"]) == 3


def test_a_retry_is_edited_again_and_keeps_the_earlier_edits(api: Caller, ended: Ended, settings: Settings) -> None:
    file = HEAD + "FR,,France,Country\nx,,,\nDE,,,Country\nFR-1,XX,One,Region\n"
    first = ended(api.post("/v1/datasets/places/imports?filename=a.csv", data=file.encode()))
    change(api, first, 0, skip_rows=[2], edits=[{"row": 3, "column": "name", "new": "Germany"}])
    second = ended(api.post(f"/v1/imports/{first['id']}/retry", json={"patch": 1}))
    assert second["state"] == "rejected"
    errors = api.get(f"/v1/imports/{second['id']}/errors?severity=error").json["items"]
    assert [(one["row"], one["line"], one["column"], one["value"]) for one in errors] == [(4, 5, "parentId", "XX")]
    change(api, second, 0, edits=[{"row": 4, "column": "parentId", "new": "FR"}])
    third = ended(api.post(f"/v1/imports/{second['id']}/retry", json={"patch": 1}))
    assert (third["state"], third["counts"]["inserted"]) == ("succeeded", 3)
    assert loaded(settings) == {"FR": (None, "Country", 1), "DE": (None, "Country", 3), "FR-1": ("FR", "Region", 4)}
    assert third["source"]["filename"] == "a (retry 2).csv"


def test_a_quarantine_is_mended_with_the_options_and_the_mapping_of_the_import(
    api: Caller, ended: Ended, settings: Settings
) -> None:
    file = "Code;Above;name;kind\nFR;;France;Country\nFR-1;XX;One;Region\nFR-2;FR-1;Two;Region\n"
    mapping = '{"Code": "id", "Above": "parentId"}'
    asked = {"filename": "a.csv", "on_error": "quarantine", "mapping": mapping, "delimiter": "semicolon"}
    first = ended(api.post("/v1/datasets/places/imports", query_string=asked, data=file.encode()))
    assert (first["state"], first["counts"]["failed"]) == ("partially_succeeded", 2)
    change(api, first, 0, edits=[{"row": 2, "column": "Above", "new": "FR"}])
    again = ended(api.post(f"/v1/imports/{first['id']}/retry", json={"patch": 1}))
    assert (again["state"], again["counts"]["inserted"], again["counts"]["unchanged"]) == ("succeeded", 2, 1)
    assert again["options"] == first["options"]
    assert loaded(settings)["FR-2"] == ("FR-1", "Region", 3)


def test_edits_of_another_version_of_the_file_are_refused(api: Caller, ended: Ended, edges: AppContext) -> None:
    first = ended(api.post("/v1/datasets/places/imports?filename=a.csv", data=(HEAD + "FR,,,Country\n").encode()))
    change(api, first, 0, edits=[{"row": 1, "column": "name", "new": "France"}])
    edges.store.put_bytes(first["source"]["key"], (HEAD + "DE,,,Country\n").encode())
    refused = api.post(f"/v1/imports/{first['id']}/retry", json={"patch": 1})
    assert (refused.status_code, refused.json["code"]) == (409, "file_changed")


def test_what_is_wrong_still_after_the_edits_can_be_downloaded_and_is_the_edited_row(
    api: Caller, ended: Ended, settings: Settings
) -> None:
    file = HEAD + "x,,,\nFR,,France,Country\nFR-1,XX,One,Region\nDE,,,Country\n"
    first = ended(api.post("/v1/datasets/places/imports?filename=a.csv&on_error=quarantine", data=file.encode()))
    change(api, first, 0, skip_rows=[1], edits=[{"row": 3, "column": "parentId", "new": "YY"}])
    again = ended(api.post(f"/v1/imports/{first['id']}/retry", json={"patch": 1}))
    assert (again["state"], again["counts"]["failed"], again["counts"]["total"]) == ("partially_succeeded", 2, 3)
    lines = api.get(f"/v1/imports/{again['id']}/results/failed?format=native").text.splitlines()
    assert [line.split(",")[:2] + line.split(",")[4:5] for line in lines[1:]] == [["FR-1", "YY", "3"], ["DE", "", "4"]]


def test_a_corrected_file_is_read_as_the_import_that_it_corrects(api: Caller, ended: Ended, settings: Settings) -> None:
    file = "Code;Above;name;kind\nFR;;France;Country\nFR-1;XX;One;Region\n"
    asked = {"filename": "a.csv", "mapping": '{"Code": "id", "Above": "parentId"}'}
    first = ended(api.post("/v1/datasets/places/imports", query_string=asked, data=file.encode()))
    assert first["state"] == "rejected"
    named = {"filename": "a better one.csv", "retry_of": first["id"]}
    again = ended(api.post("/v1/datasets/places/imports", query_string=named, data=file.replace("XX", "FR").encode()))
    assert (again["state"], again["retry_of"], again["options"]["mapping"]) == (
        "succeeded",
        first["id"],
        first["options"]["mapping"],
    )
    assert api.get(f"/v1/imports/{first['id']}").json["retried_by"] == [again["id"]]
    wrong = api.post(f"/v1/datasets/records/imports?filename=a.csv&retry_of={first['id']}", data=b"x")
    assert (wrong.status_code, wrong.json["code"]) == (422, "invalid_parameter")
    assert api.post("/v1/datasets/places/imports?filename=a.csv&retry_of=x", data=b"x").status_code == 404


@pytest.mark.parametrize("is_named", [True, False])
def test_the_workbook_of_findings_is_corrected_and_uploaded_as_it_is(
    api: Caller, ended: Ended, settings: Settings, is_named: bool
) -> None:
    file = "Code;parentId;name;kind\nFR;;France;Country\nFR-1;XX;One;Region\n"
    asked = {"filename": "a.csv", "mapping": '{"Code": "id"}'}
    first = ended(api.post("/v1/datasets/places/imports", query_string=asked, data=file.encode()))
    book = openpyxl.load_workbook(io.BytesIO(api.get(f"/v1/imports/{first['id']}/errors?format=xlsx").data))
    sheet = book["Records"]
    cell = next(cell for row in sheet.iter_rows() for cell in row if cell.value == "XX")
    cell.value = "FR"
    corrected = io.BytesIO()
    book.save(corrected)
    named = (
        {"filename": f"findings-{first['id']} (1).xlsx"} if is_named else {"filename": "b.xlsx", "mapping": asked["mapping"]}
    )
    again = ended(api.post("/v1/datasets/places/imports", query_string=named, data=corrected.getvalue()))
    assert (again["state"], again["counts"]["inserted"]) == ("succeeded", 2), again["reason"]
    assert again["findings"]["by_code"] == {"results_file": 1}
    assert again["retry_of"] == (first["id"] if is_named else None)


def test_a_downloaded_file_of_results_is_a_retry_wherever_it_is_uploaded(api: Caller, ended: Ended, settings: Settings) -> None:
    file = "Code;parentId;name;kind\nFR;;France;Country\nFR-1;XX;One;Region\n"
    asked = {"filename": "a.csv", "mapping": '{"Code": "id"}', "on_error": "quarantine"}
    first = ended(api.post("/v1/datasets/places/imports", query_string=asked, data=file.encode()))
    answer = api.get(f"/v1/imports/{first['id']}/results/failed?format=csv")
    name = answer.headers["Content-Disposition"].split('"')[1]
    again = ended(
        api.post(
            f"/v1/datasets/places/imports?filename={name}", data=answer.data.replace(b"XX", b"FR").replace(b"FR,FR", b"FR")
        )
    )
    assert (again["state"], again["counts"]["inserted"], again["retry_of"]) == ("succeeded", 1, first["id"]), again["reason"]
    assert again["findings"]["by_code"] == {"results_file": 1}
