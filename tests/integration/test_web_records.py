"""Records and their kin: right, page by page, whatever their ids are, and along the indexes."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from sqlalchemy import text

from pipeline.datasets import load_dataset
from pipeline.query import Records
from pipeline.query.records import statement
from pipeline.settings import Settings
from pipeline.warehouse import connect
from web.edges import Edges

BASE = "/v1/datasets/records/records"
IMPORT_ID = uuid.uuid4()
ODD_IDS = [
    *(
        "a/b",
        "a/children",
        "/",
        "//",
        "a//b/",
        "a?b",
        "a#b",
        "a%2Fb",
        "%",
        "ü",
        "日本",
        "a b",
        "a+b",
        "'",
        '"',
        "<script>",
        "\\",
    ),
    *("..a", "x" * 512, "a\nb", "a;b", "null", ".", "..", "e\u0301"),
]


def put(settings: Settings, *edges: tuple[str, str | None]) -> None:
    """Records by id and parent, straight into the table."""
    with psycopg.connect(settings.database_url) as connection, connection.cursor() as cursor:
        cursor.executemany(
            'insert into warehouse.records (id, "parentId", name, attributes, _import_id, _row) values (%s, %s, %s, %s, %s, 1)',
            [(child, parent, f"the {child}", '{"n": 1}', IMPORT_ID) for child, parent in edges],
        )


def walked(api: Any, path: str, **query: Any) -> list[dict[str, Any]]:
    """All items of all pages."""
    items, cursor = [], None
    while True:
        answer = api.get(path, query_string={**query, **({"cursor": cursor} if cursor else {})})
        assert answer.status_code == 200, answer.text
        assert len(answer.json["items"]) <= query.get("limit", 100)
        items += answer.json["items"]
        if (cursor := answer.json["next_cursor"]) is None:
            return items


def ids(items: list[dict[str, Any]]) -> list[str]:
    return [item["id"] for item in items]


TREE = [
    ("r", None),
    ("s", None),
    *[(f"r{i}", "r") for i in range(5)],
    *[(f"r1{i}", "r1") for i in range(3)],
    ("r110", "r11"),
]


def test_records(api: Any, settings: Settings) -> None:
    put(settings, *TREE)
    everything = sorted(child for child, _ in TREE)
    for limit in (1, 2, 3, 100):
        assert ids(walked(api, BASE, limit=limit)) == everything
        assert ids(walked(api, BASE, limit=limit, root="true")) == ["r", "s"]
        assert ids(walked(api, BASE, limit=limit, parentId="r")) == ["r0", "r1", "r2", "r3", "r4"]
        assert ids(walked(api, f"{BASE}/r/children", limit=limit)) == ["r0", "r1", "r2", "r3", "r4"]
        assert ids(walked(api, f"{BASE}/r110/ancestors", limit=limit)) == ["r11", "r1", "r"]
        below = walked(api, f"{BASE}/r/descendants", limit=limit)
        assert ids(below) == ["r0", "r1", "r10", "r11", "r110", "r12", "r2", "r3", "r4"]
        assert [item["_depth"] for item in below] == [1, 1, 2, 2, 3, 2, 1, 1, 1]
        assert ids(walked(api, f"{BASE}/r/descendants", limit=limit, max_depth=2)) == [
            *("r0", "r1", "r10", "r11", "r12", "r2", "r3", "r4")
        ]
    assert [item["_has_children"] for item in walked(api, f"{BASE}/r/children")] == [False, True, False, False, False]
    assert (
        walked(api, f"{BASE}/r4/children") == walked(api, f"{BASE}/r4/descendants") == walked(api, f"{BASE}/r/ancestors") == []
    )
    one = api.get(f"{BASE}/r11").json
    assert one.pop("_loaded_at")
    assert one == {
        "id": "r11", "parentId": "r1", "name": "the r11", "attributes": {"n": 1}, "_import_id": str(IMPORT_ID), "_row": 1
    }  # fmt: skip


def test_ids_of_any_kind(api: Any, settings: Settings) -> None:
    put(settings, ("base", None), *[(odd, "base") for odd in ODD_IDS], *[(f"{odd}!", odd) for odd in ODD_IDS])
    for odd in ODD_IDS:
        assert ids(walked(api, BASE, id=odd)) == [odd]
        assert ids(walked(api, BASE, parentId=odd)) == [f"{odd}!"]
        if odd in (".", ".."):
            continue  # every client takes these for folders, which is why ?id= exists
        path = f"{BASE}/{quote(odd, safe='')}"
        assert api.get(path).json["id"] == odd, path
        assert ids(walked(api, f"{path}/children")) == [f"{odd}!"]
        assert ids(walked(api, f"{path}/descendants")) == [f"{odd}!"]
        assert ids(walked(api, f"{BASE}/{quote(odd + '!', safe='')}/ancestors")) == [odd, "base"]
    assert set(ids(walked(api, BASE, limit=3))) == {"base", *ODD_IDS, *(f"{odd}!" for odd in ODD_IDS)}
    assert set(ids(walked(api, f"{BASE}/base/descendants", limit=3))) == {*ODD_IDS, *(f"{odd}!" for odd in ODD_IDS)}


def test_a_long_chain_is_cut_in_depth_and_not_in_pages(api: Any, settings: Settings) -> None:
    put(settings, ("0", None), *[(str(n), str(n - 1)) for n in range(1, 1500)])
    assert ids(walked(api, f"{BASE}/1499/ancestors", limit=400)) == [str(n) for n in range(1498, -1, -1)]
    assert ids(walked(api, f"{BASE}/0/descendants", limit=400)) == [str(n) for n in range(1, 1001)]


def test_what_is_not_there(api: Any, settings: Settings) -> None:
    put(settings, ("a", None), ("b", None))
    for rest in ("", "/children", "/ancestors", "/descendants"):
        for record_id in ("no", "A", "%00", "a%20"):
            answer = api.get(f"{BASE}/{record_id}{rest}")
            assert answer.status_code in (400, 404), record_id
            assert answer.json["code"] in ("unknown_record", "bad_request")
        answer = api.get(f"/v1/datasets/nowhere/records/a{rest}")
        assert (answer.status_code, answer.json["code"]) == (404, "unknown_dataset")
    assert api.get(f"{BASE}?parentId=no").json == {"items": [], "next_cursor": None}
    for query in ("parentId=a&root=true", "parentId=a&id=b"):
        assert api.get(f"{BASE}?{query}").json["code"] == "bad_request"
    for query in ("parentid=a", "limit=0", "limit=1001", "depth=3"):
        assert api.get(f"{BASE}?{query}").json["code"] == "invalid_parameter"
    for cursor in ("b", "a", "no"):
        answer = api.get(f"{BASE}/a/descendants?cursor={cursor}")
        assert (answer.status_code, answer.json["code"]) == (400, "bad_request")


def test_datasets(api: Any) -> None:
    found = {one["name"]: one for one in api.get("/v1/datasets").json["items"]}
    assert {"places", "records"} <= set(found)
    assert api.get("/v1/datasets/records").json == found["records"]
    assert found["records"]["rest"] == "attributes"
    assert found["places"]["columns"][0] == {"name": "id", "type": "text", "required": True}
    assert "_import_id" not in {column["name"] for column in found["places"]["columns"]}


# --- along the indexes ---

RECORDS = 60_000
CHILDREN_EACH = 8


@pytest.fixture
def large(edges: Edges, settings: Settings) -> Iterator[Any]:
    """A connection to a table large enough for a planner to care."""
    with psycopg.connect(settings.database_url, autocommit=True) as connection:
        connection.execute(
            'insert into warehouse.records (id, "parentId", _import_id, _row)'
            " select 'r' || n, case when n > 1 then 'r' || ((n - 2) / %s + 1) end, %s, n from generate_series(1, %s) n",
            (CHILDREN_EACH, IMPORT_ID, RECORDS),
        )
        connection.execute("analyze warehouse.records")
    with edges.engine.connect() as connection:
        yield connection


@pytest.mark.parametrize(
    ("query", "values", "index"),
    [
        ("one", {"id": "r777"}, "records_pkey"),
        ("page", {"after": "r3", "limit": 101}, "records_pkey"),
        ("children", {"parent": "r777", "after": "", "limit": 101}, "records_parentId_id"),
        ("children", {"parent": "r1", "after": "r5", "limit": 3}, "records_parentId_id"),
        ("roots", {"after": "", "limit": 101}, "records_parentId_id"),
        ("ancestors", {"id": "r59999", "limit": 101}, "records_pkey"),
    ],
)
def test_each_question_goes_along_an_index(large: Any, query: str, values: dict[str, Any], index: str) -> None:
    sql = statement(query, load_dataset("records")).text
    (plan,) = large.execute(text(f"explain (analyze, format json) {sql}"), values).scalar_one()
    nodes = [*_nodes(plan["Plan"])]
    assert "Seq Scan" not in {node["Node Type"] for node in nodes}
    assert index in {node.get("Index Name") for node in nodes}
    assert max(node["Actual Rows"] + node.get("Rows Removed by Filter", 0) for node in nodes) <= 110
    if query == "children":
        assert {node.get("Index Name") for node in nodes if "Index Name" in node} == {"records_parentId_id"}


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for inner in plan.get("Plans", []):
        yield from _nodes(inner)


def test_a_page_of_descendants_costs_what_it_shows(large: Any, settings: Settings) -> None:
    """Counted in rows that PostgreSQL read from the table, at the first page and deep inside."""
    dataset = load_dataset("records")
    for cursor in (None, "r30000"):
        before = _rows_read(settings)
        engine = connect(settings.database_url, pool_size=1)
        page = Records(engine).descendants(dataset, "r1", cursor=cursor, limit=100)
        engine.dispose()  # a session that ends tells what it read
        assert len(page.items) == 100
        assert _rows_read(settings, beyond=before) - before < 5000  # of 60,000


READ = "select coalesce(sum(idx_tup_fetch + seq_tup_read), 0)::bigint from pg_stat_user_tables where relname = 'records'"


def _rows_read(settings: Settings, beyond: int = -1) -> int:
    """How many rows of the table were read so far; waits until there are more than ``beyond``."""
    with psycopg.connect(settings.database_url, autocommit=True) as connection:
        for _ in range(50):
            read = connection.execute(READ).fetchone()
            if read is not None and read[0] > beyond:
                return int(read[0])
            connection.execute("select pg_sleep(0.1)")
    raise AssertionError("PostgreSQL did not count anything")
