"""The search for records: complete and in pages, along its index, without what is masked, and never slow."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import text

from pipeline.adapters.postgres import connect
from pipeline.datasets.dataset import load_dataset
from pipeline.datasets.search_columns import begin_of
from pipeline.ledger.api_keys import Role
from pipeline.settings import Settings
from pipeline.sqlfiles import load
from pipeline.warehouse.migrate import differing_tables, migrate
from pipeline.warehouse.query import search as searching
from tests.support.html_page import EVIL
from tests.support.http import Caller
from tests.support.records import IMPORT_ID
from web import create_app
from web.app_context import AppContext

TABLE = """
create table warehouse.goods (
    id text primary key,
    "parentId" text,
    name text,
    "Short Title" varchar(200),
    buyer text,
    price numeric,
    _import_id uuid not null,
    _row bigint not null,
    _loaded_at timestamptz not null default now()
);
create index "goods_parentId_id" on warehouse.goods ("parentId", id);
"""
META = {"search": ["name", "Short Title", "buyer"], "personal": ["buyer"]}
RECORDS = "/v1/datasets/goods/records"
SEARCHES = {"goods_name_search", "goods_Short Title_search", "goods_buyer_search"}


def define(root: Path, meta: dict[str, Any]) -> None:
    """Write the suite of the goods."""
    (root / "sql" / "tables" / "goods.sql").write_text(TABLE)
    (root / "expectations" / "goods.json").write_text(json.dumps({"name": "goods", "meta": meta, "expectations": []}))


@pytest.fixture
def goods(settings: Settings, a_root: Path) -> Iterator[AppContext]:
    """An app with the dataset of goods."""
    define(a_root, META)
    migrate(settings.database_url, root=a_root)
    with closing(AppContext.of(settings.model_copy(update={"datasets_root": a_root}))) as edges:
        yield edges


def caller(goods: AppContext, **more: Any) -> Caller:
    """A reader."""
    key, _ = goods.keys.create("a reader", Role.READER, **more)
    return Caller(create_app(goods.settings, context=goods).test_client(), key)


def put(goods: AppContext, *rows: tuple[str, str | None, str | None, str | None]) -> None:
    """Insert goods: their ID, name, short title and buyer."""
    with psycopg.connect(goods.settings.database_url) as connection, connection.cursor() as cursor:
        cursor.executemany(
            'insert into warehouse.goods (id, name, "Short Title", buyer, _import_id, _row) values (%s, %s, %s, %s, %s, 1)',
            [(*row, IMPORT_ID) for row in rows],
        )


def found(api: Caller, wanted: str, limit: int = 100) -> list[tuple[str, str]]:
    """The ID of each record that is found, and the column that matches, of all pages."""
    items, cursor = [], None
    while True:
        query = {"search": wanted, "limit": limit, **({"cursor": cursor} if cursor else {})}
        answer = api.get(RECORDS, query_string=query)
        assert answer.status_code == 200, answer.text
        assert len(answer.json["items"]) <= limit
        items += [(one["id"], one["_matched"]) for one in answer.json["items"]]
        assert not any("_begin" in one for one in answer.json["items"])
        if (cursor := answer.json["next_cursor"]) is None:
            return items


def test_values_that_begin_so_are_found_in_any_case_page_by_page(goods: AppContext) -> None:
    put(goods, *[(f"n{n:03}", f"Bolt {n % 7}", None, None) for n in range(60)])
    put(goods, *[(f"t{n:03}", "Other", f"BOLTED {n}", None) for n in range(30)])
    put(goods, ("bolt", "Äpfel", None, None), ("x", "A bolt", "bol", None), ("y", None, None, None))
    api = caller(goods)
    names = sorted((f"n{n:03}" for n in range(60)), key=lambda one: (f"bolt {int(one[1:]) % 7}", one))
    titles = sorted((f"t{n:03}" for n in range(30)), key=lambda one: f"bolted {int(one[1:])}")
    wanted = [("bolt", "id"), *((one, "name") for one in names), *((one, "Short Title") for one in titles)]
    for limit in (1, 7, 60, 61, 91, 100):
        assert found(api, "bolt", limit) == wanted, limit
        assert found(api, "  BOLT ", limit) == [one for one in wanted if one[1] != "id"], "IDs are exact"
    assert found(api, "äPF") == [("bolt", "name")]
    assert found(api, "bolt 3")[0] == ("n003", "name")
    assert found(api, "nothing") == []


def test_any_text_is_taken_as_it_is(goods: AppContext) -> None:
    odd = ["100%", "a_b", "a\\b", "'; drop table x; --", EVIL, "שלום", "x" * 300, "x" * 99 + "Y" * 99, "\U0010ffff", ":name"]
    put(goods, *[(f"o{n}", one, None, None) for n, one in enumerate(odd)])
    api = caller(goods)
    for n, one in enumerate(odd):
        assert (f"o{n}", "name") in found(api, one), one
    assert found(api, "100_") == found(api, "a%") == []
    assert found(api, "x" * 300 + "z") == [], "also beyond what the index holds"
    assert api.get(RECORDS, query_string={"search": "x" * 501}).json["code"] == "invalid_parameter"
    assert api.get(RECORDS, query_string={"search": "\0"}).status_code == 400


def test_a_record_that_matches_twice_comes_once_on_a_page_and_none_is_lost(goods: AppContext) -> None:
    put(goods, *[(f"b{n:02}", f"same {n}", f"same {n}", None) for n in range(20)])
    put(goods, *[(f"c{n:02}", "other", f"same {n}", None) for n in range(20)])
    for limit in (3, 10, 25, 100):
        ids = [one for one, _ in found(caller(goods), "same", limit)]
        assert {*ids} == {f"{letter}{n:02}" for letter in "bc" for n in range(20)}, limit
    assert len(found(caller(goods), "same", 100)) == 40


def test_what_is_masked_is_not_searched(goods: AppContext) -> None:
    put(goods, ("a", "Bolt", None, "Zenobia"), ("b", "Zen", None, None))
    assert found(caller(goods), "zen") == [("b", "name")]
    assert found(caller(goods, unmask=True), "zen") == [("b", "name"), ("a", "buyer")]
    masked = caller(goods).get(RECORDS, query_string={"search": "bolt"}).json["items"]
    assert [one["buyer"] for one in masked] == ["•••"]
    forged = searching.Place("buyer", "z", "").cursor()
    answer = caller(goods).get(RECORDS, query_string={"search": "zen", "cursor": forged})
    assert answer.json["code"] == "bad_request"
    numbers = caller(goods).get("/v1/datasets/goods/numbers").json
    assert numbers["search"] == ["name", "Short Title"]


def test_other_datasets_are_not_searched(goods: AppContext) -> None:
    answer = caller(goods, datasets=["places"]).get(RECORDS, query_string={"search": "a"})
    assert (answer.status_code, answer.json["code"]) == (404, "unknown_dataset")
    assert caller(goods, datasets=["places"]).get("/v1/datasets/goods/numbers").status_code == 404


@pytest.mark.parametrize("cursor", ["x", "!", "é", "bm8", "W10", "WzEsMiwzXQ", "WyJubyIsIiIsIiJd", "WyJwcmljZSIsIiIsIiJd"])
def test_an_invalid_cursor_is_refused(goods: AppContext, cursor: str) -> None:
    answer = caller(goods).get(RECORDS, query_string={"search": "a", "cursor": cursor})
    assert (answer.status_code, answer.json["code"]) == (400, "bad_request")


def test_a_search_goes_with_nothing_else(goods: AppContext) -> None:
    api = caller(goods)
    for more in ({"root": "true"}, {"id": "a"}, {"parentId": "a"}, {"format": "csv"}):
        assert api.get(RECORDS, query_string={"search": "a", **more}).json["code"] == "bad_request", more
    assert api.get(RECORDS, query_string={"search": "  "}).json["code"] == "bad_request"


def test_a_large_table_needs_an_index(goods: AppContext, a_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(goods, ("a", "Bolt", None, None))
    monkeypatch.setattr(searching, "SCANNED_BYTES_MAX", 0)
    assert found(caller(goods), "bolt") == [("a", "name")]
    with psycopg.connect(goods.settings.database_url) as connection:
        connection.execute("drop index warehouse.goods_name_search")
    assert found(caller(goods), "bolt") == [], "the other columns still have one"
    define(a_root, {"title": "Goods"})
    migrate(goods.settings.database_url, root=a_root)
    answer = caller(goods).get(RECORDS, query_string={"search": "bolt"})
    assert (answer.status_code, answer.json["code"]) == (409, "no_search_index")
    assert "meta.search" in answer.json["detail"]
    monkeypatch.undo()
    assert found(caller(goods), "bolt") == [("a", "name")], "a small one needs none"


def test_indexes_come_and_go_with_the_suite(goods: AppContext, a_root: Path) -> None:
    url = goods.settings.database_url

    def there() -> set[str]:
        with psycopg.connect(url) as connection:
            rows = connection.execute("select indexname from pg_indexes where tablename = 'goods'").fetchall()
        return {name for (name,) in rows if name.endswith("_search")}

    assert there() == SEARCHES
    assert "goods" not in {name for name, why in differing_tables(goods.engine, a_root).items() if why}
    define(a_root, {**META, "search": ["name"]})
    assert "drop index" in differing_tables(goods.engine, a_root)["goods"]
    migrate(url, root=a_root)
    assert there() == {"goods_name_search"}
    define(a_root, META)
    done = [str(one) for one in migrate(url, root=a_root) if "warehouse.goods" in str(one)]
    assert there() == SEARCHES
    assert "index goods_Short Title_search built" in "".join(done)


def test_a_search_reads_a_page_along_the_index(goods: AppContext, a_root: Path) -> None:
    """All 50,000 match; an index scan reads those of the page, with a plan that fits any text too."""
    with psycopg.connect(goods.settings.database_url, autocommit=True) as connection:
        connection.execute(
            "insert into warehouse.goods (id, name, _import_id, _row)"
            " select 'g' || n, 'Common ' || mod(n, 977), %s, n from generate_series(1, 50000) n",
            (IMPORT_ID,),
        )
        connection.execute("analyze warehouse.goods")
    dataset = load_dataset("goods", a_root)
    names = {"table": "warehouse.goods", "key": "id", "column": "name", "begin": begin_of("name"), "characters": 100}
    sql = load("queries/records/search").format(**names)
    values = {"text": "common", "after_begin": "common 5", "after": "g1", "limit": 51}
    engine = connect(goods.settings.database_url)
    with engine.connect() as connection:
        for mode in ("force_custom_plan", "force_generic_plan"):
            connection.exec_driver_sql(f"set plan_cache_mode = {mode}")
            (plan,) = connection.execute(text(f"explain (analyze, format json) {sql}"), values).scalar_one()
            node = plan["Plan"]
            while "Plans" in node:
                assert node["Node Type"] != "Sort", mode
                (node,) = node["Plans"]
            assert (node["Index Name"], node["Actual Rows"]) == ("goods_name_search", 51), mode
            assert "Index Cond" in node, mode
    engine.dispose()
    assert dataset.name == "goods"
