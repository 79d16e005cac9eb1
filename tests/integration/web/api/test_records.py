"""Records and their kin: right, page by page, whatever their ids are, and along the indexes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import psycopg
from sqlalchemy import text

from pipeline.adapters.postgres import connect
from pipeline.datasets.dataset import load_dataset
from pipeline.settings import Settings
from pipeline.warehouse.query import Records
from pipeline.warehouse.query.records import statement
from tests.support.records import BASE, IMPORT_ID, ODD_IDS, TREE, ids, put, walked
from tests.support.waiting import wait_until
from web.app_context import AppContext


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
    counts = {"r": 5, "r1": 3, "r11": 1}
    for path in (BASE, f"{BASE}/r/children", f"{BASE}/r/descendants", f"{BASE}/r110/ancestors"):
        found = {item["id"]: item["_children"] for item in walked(api, path, counts="true")}
        assert found and found == {record_id: counts.get(record_id, 0) for record_id in found}
    assert walked(api, BASE, id="r1", counts="true")[0]["_children"] == 3
    assert api.get(f"{BASE}/r/children_count").json == {"id": "r", "children": 5}
    assert api.get(f"{BASE}/s/children_count").json == {"id": "s", "children": 0}
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
        assert api.get(f"{path}/children_count").json == {"id": odd, "children": 1}
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
    for rest in ("", "/children", "/children_count", "/ancestors", "/descendants"):
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


QUESTIONS = [
    ("one", {"id": "r777"}, "records_pkey"),
    ("page", {"after": "r3", "limit": 101}, "records_pkey"),
    ("children", {"parent": "r777", "after": "", "limit": 101}, "records_parentId_id"),
    ("children", {"parent": "r1", "after": "r5", "limit": 3}, "records_parentId_id"),
    ("children", {"parent": "no", "after": "", "limit": 1001}, "records_parentId_id"),
    ("roots", {"after": "", "limit": 101}, "records_parentId_id"),
    ("ancestors", {"id": "r199999", "limit": 101}, "records_pkey"),
    ("children_counts", {"ids": ["r777"], "most": None}, "records_parentId_id"),
    ("children_counts", {"ids": [f"r{n}" for n in range(1, 13)], "most": 1001}, "records_parentId_id"),
]


def _is_all_visible(connection: psycopg.Connection[Any]) -> bool:
    """Vacuum the table; return whether all its pages are visible to all, which a replica's old snapshot may prevent a while."""
    connection.execute("vacuum analyze warehouse.records")
    visible = "select relallvisible >= relpages from pg_class where oid = 'warehouse.records'::regclass"
    return connection.execute(visible).fetchall() == [(True,)]


def test_each_question_goes_along_an_index(large: Any, settings: Settings) -> None:
    """While the planner knows nothing of the table, and when it knows all."""
    for known in (False, True):
        if known:
            with psycopg.connect(settings.database_url, autocommit=True) as connection:
                wait_until(lambda connection=connection: _is_all_visible(connection), seconds=600.0)
        for query, values, index in QUESTIONS:
            sql = statement(query, load_dataset("records")).text
            (plan,) = large.execute(text(f"explain (analyze, format json) {sql}"), values).scalar_one()
            nodes = [*_nodes(plan["Plan"])]
            kinds, indexes = (
                {node["Node Type"] for node in nodes},
                {node["Index Name"] for node in nodes if "Index Name" in node},
            )
            what = (query, values, known, kinds)
            assert "Seq Scan" not in kinds, what
            assert not known or ({"Index Scan", "Index Only Scan"} & kinds and "Bitmap Heap Scan" not in kinds), what
            assert index in indexes, what
            assert sum((node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) for node in nodes) <= 450, what
            if query.startswith("children"):
                assert indexes == {"records_parentId_id"}, what
            if query == "children_counts" and known:
                assert "Index Only Scan" in kinds and "Index Scan" not in kinds, what
                assert all(node.get("Heap Fetches", 0) == 0 for node in nodes), "nor does it look at the table"


def test_questions_are_answered_while_the_table_gets_a_column(edges: AppContext, settings: Settings) -> None:
    """A plan that a session kept from one question to the next would not do any more."""
    put(settings, *TREE)
    dataset = load_dataset("records")
    for column in range(3):
        for _ in range(8):
            page = edges.records.children(dataset, "r", cursor=None, limit=3)
            assert len([name for name in page.items[0] if name.startswith("new")]) == column
        with psycopg.connect(settings.database_url) as connection:
            connection.execute(f"alter table warehouse.records add column new{column} text")


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for inner in plan.get("Plans", []):
        yield from _nodes(inner)


def test_a_page_of_descendants_costs_what_it_shows(large: Any, settings: Settings) -> None:
    """Counted in rows that PostgreSQL read from the table, at the first page and deep inside."""
    dataset = load_dataset("records")
    for cursor in (None, "r100000"):
        before = _rows_read(settings)
        engine = connect(settings.database_url, pool_size=1)
        page = Records(engine).descendants(dataset, "r1", cursor=cursor, limit=100)
        engine.dispose()  # a session that ends tells what it read
        assert len(page.items) == 100
        assert _rows_read(settings, beyond=before) - before < 5000  # of 200,000


def test_descendants_below_many_siblings_come_once_each_and_in_order(edges: AppContext, settings: Settings) -> None:
    """More siblings with children than a walk keeps in mind, taken in pages that end anywhere."""
    below = [(f"a{n:02}.{m}", f"a{n:02}") for n in range(45) for m in (0, 1)]
    put(settings, ("top", None), *[(f"a{n:02}", "top") for n in range(45)], *below)
    wanted = [one for n in range(45) for one in (f"a{n:02}", f"a{n:02}.0", f"a{n:02}.1")]
    for limit in (1, 7, 44, 45, 46, 134, 135, 1000):
        seen: list[str] = []
        cursor = None
        while True:
            page = edges.records.descendants(load_dataset("records"), "top", cursor=cursor, limit=limit)
            seen += ids(page.items)
            if (cursor := page.next_cursor) is None:
                break
        assert seen == wanted, limit


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
