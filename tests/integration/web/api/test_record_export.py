"""Records as a file: each form holds what the table holds, exactly, however many pages it takes and whoever stops reading."""

from __future__ import annotations

import csv
import io
import json
import uuid
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import requests

from pipeline.contracts.messages import ObjectArrived
from pipeline.datasets.dataset import load_dataset
from pipeline.ledger.models import ImportRecord
from pipeline.settings import Settings
from pipeline.warehouse.query import Page
from tests.support.memory import Growth
from tests.support.records import BASE, put
from tests.support.waiting import wait_until
from tests.support.web_app import Server
from tests.support.workers import running_worker
from web.api import record_export
from web.app_context import EXPORTS_AT_ONCE, AppContext

FORMS = ("csv", "json", "ndjson", "parquet", "arrow")
MIB = 1 << 20


def read(form: str, data: bytes) -> list[dict[str, Any]]:
    """The rows of a file, as texts where the form has nothing else."""
    if form == "csv":
        return [{name: value or None for name, value in row.items()} for row in csv.DictReader(io.StringIO(data.decode()))]
    if form == "json":
        found: list[dict[str, Any]] = json.loads(data)
        return found
    if form == "ndjson":
        return [json.loads(line) for line in data.splitlines()]
    table = pq.read_table(io.BytesIO(data)) if form == "parquet" else pa.ipc.open_stream(data).read_all()
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


@pytest.fixture
def some(settings: Settings) -> list[str]:
    """The ids of records that are in the table; more than a page of an export holds."""
    ids = ["=1+1", "a,b", 'a"b', "a\nb", "ü", "日本", *(f"r{n:05}" for n in range(5000))]
    put(settings, *((one, "r00000" if one > "r00000" else None) for one in ids))
    return sorted(ids)


@pytest.mark.parametrize("form", FORMS)
def test_a_file_holds_every_record_once(api: Any, some: list[str], form: str) -> None:
    answer = api.get(f"{BASE}?format={form}")
    assert answer.status_code == 200
    assert answer.headers["Content-Disposition"] == f'attachment; filename="records.{form}"'
    rows = read(form, answer.data)
    assert sorted(row["id"] for row in rows) == some
    assert list(rows[0]) == ["id", "parentId", "name", "attributes"], "as a file of it would have them"
    whole = {row["id"]: row for row in rows}
    assert {whole["a,b"]["name"], whole["日本"]["name"]} == {"the a,b", "the 日本"}
    told = whole["r00001"]["attributes"]
    assert (told if form in ("json", "ndjson") else json.loads(told)) == {"n": 1}


@pytest.mark.parametrize("form", FORMS)
def test_nothing_is_a_file_too(api: Any, form: str) -> None:
    assert read(form, api.get(f"{BASE}?format={form}").data) == []


def test_the_children_of_one_and_the_roots(api: Any, some: list[str]) -> None:
    below = read("csv", api.get(f"{BASE}?format=csv&parentId=r00000").data)
    assert {row["parentId"] for row in below} == {"r00000"}
    roots = read("csv", api.get(f"{BASE}?format=csv&root=true").data)
    assert {row["parentId"] for row in roots} == {None}
    assert len(below) + len(roots) == len(some)


def test_what_excludes_each_other(api: Any) -> None:
    for query in ("id=x", "cursor=x"):
        assert api.get(f"{BASE}?format=csv&{query}").json["code"] == "bad_request"
    assert api.get(f"{BASE}?format=xml").json["code"] == "invalid_parameter"
    assert api.get("/v1/datasets/nonsense/records?format=csv").json["code"] == "unknown_dataset"


def test_a_file_of_records_can_be_uploaded_again(api: Any, edges: AppContext, settings: Settings) -> None:
    with psycopg.connect(settings.database_url) as connection:
        connection.execute(
            'insert into warehouse.places (id, "parentId", name, kind, numeric_code, _import_id, _row)'
            " values ('FR', null, 'France', 'Country', 250, %(i)s, 1), ('FR-75', 'FR', '=1+\"b', 'Department', null, %(i)s, 2)",
            {"i": uuid.uuid4()},
        )
    text = api.get("/v1/datasets/places/records?format=csv").text
    assert text.splitlines()[0] == "id,parentId,name,kind,alpha_3,numeric_code,flag"
    made = api.upload(text.encode()).json["id"]
    with running_worker(settings):
        edges.temporal.announce(ObjectArrived(edges.store.bucket, edges.ledger.imports.known(made).key))
        wait_until(lambda: edges.ledger.imports.known(made).state.is_final)
    assert edges.ledger.imports.known(made).unchanged == 2, "it is what is there already"


NUMBERS = (
    "1.10 1e400 1E-7 0.12345678901234567890123 -0 -0.0 12345678901234567890123456789 9007199254740993 18446744073709551616"
)


def test_what_is_no_column_of_its_own_comes_back_digit_for_digit(api: Any, edges: AppContext, settings: Settings) -> None:
    """File -> jsonb -> file -> jsonb -> file, in each way in; the files are equal byte for byte."""
    members = ",".join(f'"n{at}":{number}' for at, number in enumerate(NUMBERS.split()))
    nested = f'{{{members},"deep":[{{{members}}},"é\\u00e9\\n\\"",null,true,{{}}]}}'
    lines = [
        f'{{"id":"1","parentId":null,"name":"a","attributes":{nested}}}',
        f'{{"id":"2","parentId":"1","name":null,"attributes":{nested},"price":1.10,"other":{nested}}}',
        '{"id":"3","parentId":"1","name":"","attributes":{ }}',
        '{"id":"4","parentId":"3","price":1e400}',
    ]

    def exported(form: str) -> bytes:
        with api.get(f"{BASE}?format={form}") as answer:  # closed, or its place is not given back
            assert answer.status_code == 200, answer.text
            return bytes(answer.data)

    def ended(content: bytes, filename: str) -> ImportRecord:
        made = api.upload(content, dataset="records", filename=filename).json["id"]
        edges.temporal.announce(ObjectArrived(edges.store.bucket, edges.ledger.imports.known(made).key))
        wait_until(lambda: edges.ledger.imports.known(made).state.is_final)
        return edges.ledger.imports.known(made)

    with running_worker(settings):
        assert ended("\n".join(lines).encode(), "a.ndjson").inserted == 4
        exact = exported("ndjson")
        first = json.loads(exact.splitlines()[0], parse_float=str, parse_int=str)["attributes"]
        plain = {"1e400": "1" + "0" * 400, "1E-7": "0.0000001", "-0": "0", "-0.0": "0.0"}  # as PostgreSQL's numeric spells them
        wanted = [plain.get(number, number) for number in NUMBERS.split()]
        assert (
            [first[f"n{at}"] for at in range(len(wanted))]
            == wanted
            == [first["deep"][0][f"n{at}"] for at in range(len(wanted))]
        )
        two = json.loads(exact.splitlines()[1])["attributes"]
        assert (two["price"], json.loads(two["other"], parse_float=str, parse_int=str)["n0"]) == ("1.10", "1.10")
        for form in ("ndjson", "json", "csv", "parquet"):
            again = ended(exported(form), f"again.{form}")
            found = edges.ledger.findings.page(again.id, limit=5)
            told = (again.state, again.inserted, again.updated, again.unchanged)
            assert told == ("succeeded", 0, 0, 4) or form == "csv", (form, told, found)  # a CSV has no "" but null
        with psycopg.connect(settings.database_url) as connection:
            connection.execute("truncate warehouse.records")
        assert ended(exact, "back.ndjson").inserted == 4
        assert exported("ndjson") == exact
    page = api.get(f"{BASE}/1").data
    assert b'"n3":0.12345678901234567890123' in page
    assert b'"n6":12345678901234567890123456789' in page
    answer = api.post("/v1/query?format=csv", json={"sql": "select attributes from records where id = '1'"})
    assert b"0.12345678901234567890123" in answer.data


def test_columns_have_the_types_of_the_table() -> None:
    columns = load_dataset("places").columns
    kinds = {"numeric(12, 2)": Decimal("1.50"), "date": date(2026, 1, 2), "boolean": True, "bigint": 1 << 40, "text": "x"}
    kinds |= {
        "timestamptz": datetime(2026, 1, 2, tzinfo=UTC),
        "double precision": 0.1,
        "jsonb": {"a": [1]},
        "numeric(60, 2)": 1,
    }
    typed = tuple(type(columns[0])(name=f"c{at}", type=kind, required=False) for at, kind in enumerate(kinds))
    page = [{f"c{at}": value for at, value in enumerate(kinds.values())}, {f"c{at}": None for at in range(len(kinds))}]
    table = pa.ipc.open_stream(b"".join(record_export.WRITERS["arrow"](typed, iter([page])))).read_all()
    assert [str(kind) for kind in table.schema.types] == [
        *("decimal128(12, 2)", "date32[day]", "bool", "int64", "string"),
        *("timestamp[us, tz=UTC]", "double", "string", "string"),
    ]
    rows = table.to_pylist()
    assert list(rows[0].values()) == [*list(kinds.values())[:7], '{"a":[1]}', "1"]
    assert set(rows[1].values()) == {None}


def test_pages_are_as_large_as_their_records_let_them(monkeypatch: pytest.MonkeyPatch, app: Any) -> None:
    """Records of 400 kB and then of a few bytes: never much more than PAGE_BYTES at once, nor more than MOST_RECORDS."""
    asked: list[int] = []

    def page(cursor: str | None, limit: int) -> Page:
        asked.append(limit)
        name = "x" * 400_000 if len(asked) < 4 else "x"
        return Page([{"id": "a", "parentId": None, "name": name, "attributes": {}}] * limit, "a" if len(asked) < 6 else None)

    with app.test_request_context():
        answer = record_export.export(load_dataset("records"), "ndjson", page)
        assert sum(1 for _ in answer.response) > 6
        answer.close()
    few = record_export.PAGE_BYTES // 400_000
    assert asked == [record_export.FIRST_RECORDS, few, few, few, record_export.MOST_RECORDS, record_export.MOST_RECORDS]


def test_few_are_made_at_once_and_a_place_is_given_back(api: Any, edges: AppContext, some: list[str], monkeypatch: Any) -> None:
    answers = [api.get(f"{BASE}?format=csv", buffered=False) for _ in range(EXPORTS_AT_ONCE)]
    busy = api.get(f"{BASE}?format=csv")
    assert (busy.status_code, busy.json["code"], busy.headers["Retry-After"]) == (503, "busy", "2")
    for answer in answers:
        answer.close()  # who reads no further

    def fail(*_: Any, **__: Any) -> Page:
        raise RuntimeError("no")

    monkeypatch.setattr(edges.records, "page", fail)
    for _ in range(EXPORTS_AT_ONCE + 1):
        assert api.get(f"{BASE}?format=csv").status_code == 500, "said before a byte of the file"
    monkeypatch.undo()
    for _ in range(EXPORTS_AT_ONCE + 1):
        with api.get(f"{BASE}?format=csv") as answer:
            assert len(read("csv", answer.data)) == len(some)


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_memory_does_not_grow_with_the_file(
    settings: Settings, serve: Callable[[Settings], Server], tmp_path: Path, form: str
) -> None:
    with psycopg.connect(settings.database_url) as connection:
        connection.execute(
            "insert into warehouse.records (id, name, _import_id, _row)"
            " select 'r' || n, repeat(md5(n::text), 16), %s, n from generate_series(1, 200000) n",
            (uuid.uuid4(),),
        )
    server = serve(settings)
    size = 0
    with (
        Growth(server.pid) as growth,
        requests.get(f"{server.url}{BASE}?format={form}", headers=server.headers, stream=True, timeout=300) as answer,
    ):
        for chunk in answer.iter_content(MIB // 4):
            size += len(chunk)
            growth.mark()
    assert size > (60 if form == "csv" else 2) * MIB
    assert growth.bytes < 40 * MIB, f"grew by {growth.bytes / MIB:.0f} MiB"
