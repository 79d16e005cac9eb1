"""Retries through the API, in each format: of what failed as it was, of what failed mended, of what is nobody's."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xlsxwriter
from python_calamine import CalamineWorkbook

from pipeline.contracts.messages import ObjectArrived
from pipeline.contracts.states import State
from pipeline.settings import Settings
from tests.support.http import Caller
from tests.support.workers import running_worker
from web.app_context import AppContext

Row = dict[str, Any]
Ended = Callable[[Any], Any]
ROWS: list[Row] = [
    {"id": "1", "parentId": None, "name": "a", "code": "own"},
    {"id": "2", "parentId": "9", "name": "=b", "code": "own"},
    {"id": "4", "parentId": "2", "name": "below", "code": None},
]


def to_csv(rows: list[Row]) -> bytes:
    lines = [";".join(rows[0]), *(";".join("" if value is None else str(value) for value in row.values()) for row in rows)]
    return ("\n".join(lines) + "\n").encode()


def from_csv(data: bytes) -> list[Row]:
    head, *lines = (line.split(";") for line in data.decode().splitlines())
    return [dict(zip(head, line, strict=True)) for line in lines]


def to_parquet(rows: list[Row]) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), file)
    return file.getvalue()


def to_xlsx(rows: list[Row]) -> bytes:
    file = io.BytesIO()
    with xlsxwriter.Workbook(file, {"in_memory": True}) as book:
        sheet = book.add_worksheet()
        for line, cells in enumerate([list(rows[0]), *(list(row.values()) for row in rows)]):
            for column, cell in enumerate(cells):
                sheet.write_string(line, column, "" if cell is None else str(cell))
    return file.getvalue()


def from_xlsx(data: bytes) -> list[Row]:
    head, *lines = CalamineWorkbook.from_filelike(io.BytesIO(data)).get_sheet_by_index(0).to_python()
    return [dict(zip(map(str, head), line, strict=True)) for line in lines]


FORMATS: dict[str, tuple[Callable[[list[Row]], bytes], Callable[[bytes], list[Row]]]] = {
    "csv": (to_csv, from_csv),
    "json": (lambda rows: json.dumps(rows).encode(), json.loads),
    "ndjson": (
        lambda rows: "\n".join(map(json.dumps, rows)).encode(),
        lambda data: [json.loads(line) for line in data.splitlines()],
    ),
    "parquet": (to_parquet, lambda data: pq.read_table(io.BytesIO(data)).to_pylist()),
    "xlsx": (to_xlsx, from_xlsx),
}


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
        return last_of(api, one.id)

    return wait


def last_of(api: Caller, import_id: str) -> Any:
    until = time.monotonic() + 60
    while not State((one := api.get(f"/v1/imports/{import_id}").json)["state"]).is_final:
        assert time.monotonic() < until, one
        time.sleep(0.1)
    return one


def rows_of(api: Caller, one: Any, fate: str, form: str = "native") -> bytes:
    """The file, when it is written."""
    for _ in range(200):
        answer = api.get(f"/v1/imports/{one['id']}/results/{fate}?format={form}")
        if answer.status_code == 200:
            return answer.data
        assert (answer.status_code, answer.headers["Retry-After"]) == (202, "1")
        time.sleep(0.1)
    raise AssertionError("it was never written")


@pytest.mark.parametrize(
    "form", [pytest.param(one, marks=pytest.mark.thorough) if one in ("json", "parquet") else one for one in FORMATS]
)
def test_what_failed_is_tried_again_as_it_was_and_mended(api: Caller, ended: Ended, form: str) -> None:
    write, read = FORMATS[form]
    target = f"/v1/datasets/records/imports?filename=a.{form}&on_error=quarantine"
    first = ended(api.post(target, data=write(ROWS)))
    assert (first["state"], first["counts"]["inserted"], first["counts"]["failed"]) == ("partially_succeeded", 1, 2)
    failed = read(rows_of(api, first, "failed"))
    assert [list(row)[:7] for row in failed] == [["id", "parentId", "name", "code", "row", "_code", "reason"]] * 2
    assert [(row["id"], str(row["row"]).removesuffix(".0"), row["_code"]) for row in failed] == [
        ("2", "2", "missing_parent"),
        ("4", "3", "parent_quarantined"),
    ]
    again = ended(api.post(f"/v1/imports/{first['id']}/retry"))
    assert (again["state"], again["retry_of"], again["counts"]["total"]) == ("rejected", first["id"], 2)
    for row in failed:
        row["parentId"] = "1" if row["parentId"] == "9" else row["parentId"]
    mended = ended(api.post(f"/v1/imports/{first['id']}/retry?filename=mended.{form}", data=write(failed)))
    assert (mended["state"], mended["retry_of"], mended["counts"]["inserted"]) == ("succeeded", first["id"], 2)
    query = "select id, name, attributes from warehouse.records order by id"
    there = api.post("/v1/query", json={"sql": query}).json["rows"]
    assert there == [["1", "a", {"code": "own"}], ["2", "=b", {"code": "own"}], ["4", "below", {}]]
    assert len(read(rows_of(api, mended, "succeeded"))) == 2


def test_a_retry_is_asked_for_once_and_says_what_cannot_be(api: Caller, ended: Ended) -> None:
    target = "/v1/datasets/records/imports?on_error=quarantine"
    first = ended(api.post(target, data=to_csv(ROWS)))
    once = {"Idempotency-Key": "again"}
    made, same = (api.post(f"/v1/imports/{first['id']}/retry", headers=once) for _ in range(2))
    assert made.json["id"] == same.json["id"]
    assert same.headers["Idempotent-Replayed"] == "true"
    ended(made)
    good = ended(api.post("/v1/datasets/records/imports", data=to_csv(ROWS[:1])))
    refused = api.post(f"/v1/imports/{good['id']}/retry")
    assert (refused.status_code, refused.json["code"]) == (409, "nothing_to_retry")


def test_what_is_not_over_is_neither_retried_nor_sorted(api: Caller) -> None:
    made = api.post("/v1/datasets/records/imports", data=to_csv(ROWS))  # nobody is at work
    for answer in (
        api.post(f"/v1/imports/{made.json['id']}/retry"),
        api.get(f"/v1/imports/{made.json['id']}/results/succeeded"),
        api.get(f"/v1/imports/{made.json['id']}/results/failed?format=native"),
    ):
        assert (answer.status_code, answer.json["code"]) == (409, "not_finished")


def test_an_unreadable_file_has_no_rows(api: Caller, ended: Ended) -> None:
    one = ended(api.post("/v1/datasets/records/imports", data=b"id,parentId\n"))
    answer = api.get(f"/v1/imports/{one['id']}/results/unprocessed")
    assert (one["state"], answer.status_code, answer.json["code"]) == ("rejected", 410, "no_results")


def test_a_pause_by_the_api(api: Caller, edges: AppContext, ended: Ended) -> None:
    made = api.post("/v1/datasets/records/imports", data=b"id,parentId\n" + b"".join(b"%d,\n" % n for n in range(50_000)))
    paused = api.post(f"/v1/imports/{made.json['id']}/pause")
    assert (paused.status_code, paused.json["pause_requested"]) == (202, True)
    edges.temporal.announce(ObjectArrived(edges.store.bucket, paused.json["source"]["key"]))
    until = time.monotonic() + 60
    while (one := api.get(f"/v1/imports/{made.json['id']}").json)["state"] != "paused":
        assert time.monotonic() < until, one
        time.sleep(0.1)
    assert one["counts"]["inserted"] < 50_000
    assert api.post(f"/v1/imports/{made.json['id']}/resume").status_code == 202
    assert ended(made)["counts"]["inserted"] == 50_000
    refused = api.post(f"/v1/imports/{made.json['id']}/pause")
    assert refused.status_code == 409


def test_a_retry_reads_the_columns_as_the_upload_said(api: Caller, ended: Ended) -> None:
    rows = [
        {"Nr": "1", "über": None, "name": "a", "code": "x", "weg": "-"},
        {"Nr": "2", "über": "9", "name": "b", "code": "y", "weg": "-"},
    ]
    mapping = json.dumps({"Nr": "id", "über": "parentId", "weg": ""})
    query = {"on_error": "quarantine", "mapping": mapping, "filename": "a.csv"}
    one = ended(api.post("/v1/datasets/records/imports", query_string=query, data=to_csv(rows)))
    assert (one["state"], one["counts"]["inserted"], one["counts"]["failed"]) == ("partially_succeeded", 1, 1)
    ended(api.upload(b"id,parentId\n9,\n", dataset="records"))
    again = ended(api.post(f"/v1/imports/{one['id']}/retry"))
    assert (again["state"], again["counts"]["inserted"]) == ("succeeded", 1)
    record = api.get("/v1/datasets/records/records/2").json
    assert (record["parentId"], record["name"], record["attributes"]) == ("9", "b", {"code": "y"})
