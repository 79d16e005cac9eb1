"""Datasets from a file: proposed, created, known to every process without a restart, changed, exported, dropped."""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from pipeline.adapters.s3 import Store
from pipeline.contracts.messages import ObjectArrived
from pipeline.contracts.states import State
from pipeline.errors import Unreachable
from pipeline.settings import Settings
from pipeline.warehouse import index_changes, migrate
from pipeline.warehouse.dataset_source import source_of
from tests.support.html_page import EVIL
from tests.support.http import Caller
from tests.support.imports import MakeImport
from tests.support.waiting import wait_until
from tests.support.web_app import Server
from tests.support.workers import running_worker
from web.app_context import AppContext

PRODUCTS = "SKU,Name,Parent SKU,Price,In stock,Added on,Kind\n" + "".join(
    f"{n:04d},Product {n},{f'{n // 2:04d}' if n > 1 else ''},{n}.50,{str(n % 2 > 0).lower()},{n:02d}.03.2024,{'AB'[n % 2]}\n"
    for n in range(1, 15)
)


@pytest.fixture
def admin(caller_for: Callable[[str], Caller]) -> Caller:
    """An admin."""
    return caller_for("admin")


def proposed(admin: Caller, text: str = PRODUCTS, name: str = "products", **form: Any) -> dict[str, Any]:
    """Return the proposal for a file."""
    path = f"/v1/datasets/propose?name={name}&filename=products.csv"
    if form:
        answer = admin.post(path, data={**form, "file": (io.BytesIO(text.encode()), "products.csv")})
    else:
        answer = admin.post(path, data=text.encode())
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json
    return found


def created(admin: Caller, text: str = PRODUCTS, name: str = "products") -> dict[str, Any]:
    """Create a dataset as it is proposed for a file; return its definition."""
    answer = admin.post("/v1/datasets", json={"definition": proposed(admin, text, name)["definition"]})
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json
    return found


def imported(caller: Caller, edges: AppContext, text: str, dataset: str) -> dict[str, Any]:
    """Upload a file, and return its import when it has ended."""
    begun = caller.upload(text.encode(), dataset=dataset, filename=f"{dataset}.csv").json
    edges.temporal.announce(ObjectArrived(edges.store.bucket, begun["source"]["key"]))
    path = f"/v1/imports/{begun['id']}"
    wait_until(lambda: State(caller.get(path).json["state"]).is_final, 300.0)
    done: dict[str, Any] = caller.get(path).json
    return done


def changed(admin: Caller, one: dict[str, Any], version: int, query: str = "", **columns: Any) -> Any:
    """Send a definition with other fields of some columns, or of new ones; return the answer."""
    definition = json.loads(json.dumps(one["definition"]))
    known = {column["name"]: column for column in definition["columns"]}
    for name, fields in columns.items():
        if name in known:
            known[name].update(fields)
        else:
            definition["columns"].append({"name": name, **fields})
    headers = {"If-Match": f'"{version}"'}
    return admin("PUT", f"/v1/datasets/{one['name']}/definition{query}", json={"definition": definition}, headers=headers)


def indexes(settings: Settings) -> list[str]:
    """The names of the indexes of the products' table."""
    with psycopg.connect(settings.database_url) as connection:
        found = connection.execute("select indexname from pg_indexes where tablename = 'products'").fetchall()
    return [name for (name,) in found]


def test_a_proposal_has_the_types_of_all_values_and_what_each_choice_refuses(admin: Caller) -> None:
    one = proposed(admin)
    assert (one["problem"], one["refused"], one["records"], one["exists"]) == ("", 0, 14, False)
    definition = one["definition"]
    assert (definition["key"], definition["parent"]) == ("sku", "parent_sku")
    types = {column["name"]: column["type"] for column in definition["columns"]}
    wanted = {"sku": "text", "name": "text", "parent_sku": "text", "price": "numeric", "in_stock": "boolean"}
    assert types == {**wanted, "added_on": "date", "kind": "text"}
    assert {c["name"]: c["values"] for c in definition["columns"] if c["values"]} == {"kind": ["A", "B"]}
    assert "create table if not exists warehouse.products" in one["files"]["table"]
    by_name = {column["name"]: column for column in definition["columns"]}
    by_name["name"]["max_length"] = 9
    by_name["price"]["type"] = "integer"
    by_name["kind"]["values"] = ["A"]
    again = proposed(admin, definition=json.dumps(definition))
    refuses = {column["name"]: column["refuses"] for column in again["columns"]}
    assert refuses["name"]["max_length"]["records"] == 5
    assert refuses["name"]["max_length"]["rows"] == [10, 11, 12, 13, 14]
    assert refuses["name"]["max_length"]["sentence"].startswith("would refuse 5 records: line 11, line 12")
    assert (refuses["price"]["type"]["records"], refuses["kind"]["values"]["records"], again["refused"]) == (14, 7, 14)


def test_every_process_knows_a_dataset_at_once(
    admin: Caller, api: Caller, edges: AppContext, settings: Settings, environment: dict[str, str]
) -> None:
    """A worker that was started before, another process, and the migration."""
    with running_worker(settings):
        assert api.upload(PRODUCTS.encode(), dataset="products").status_code == 404
        one = created(admin)
        assert (one["version"], one["in_files"]) == (1, False)
        assert [d["name"] for d in api.get("/v1/datasets").json["items"]] == ["places", "products", "records"]
        done = imported(api, edges, PRODUCTS, "products")
    assert (done["state"], done["counts"]["inserted"], done["definition_version"]) == ("succeeded", 14, 1), done
    record = api.get("/v1/datasets/products/records/0003").json
    assert (record["sku"], record["parent_sku"], record["price"], record["added_on"]) == ("0003", "0001", 3.5, "2024-03-03")
    asked = {"sql": "select id, depth, path, children, descendants from products_tree order by id limit 3"}
    rows = api.post("/v1/query", json=asked).json["rows"]
    assert rows == [["0001", 0, "0001", 2, 13], ["0002", 1, "0001 > 0002", 2, 6], ["0003", 1, "0001 > 0003", 2, 5]]
    limited = ["-m", "pipeline.cli", "template", "products"]
    template = subprocess.run([sys.executable, *limited], env=environment, capture_output=True, text=True, check=True)
    assert template.stdout.splitlines()[0] == "sku,name,parent_sku,price,in_stock,added_on,kind"
    root = source_of(settings).root()
    engine_url = settings.database_url
    assert all(str(line) for line in migrate.migrate(engine_url, root=root))
    from pipeline.adapters.postgres import connect

    engine = connect(engine_url)
    assert migrate.differing_tables(engine, root) == {"places": "", "products": "", "records": ""}
    engine.dispose()


def test_a_definition_is_the_same_after_its_export_and_import(admin: Caller) -> None:
    one = created(admin)
    suite = admin.get("/v1/datasets/products/definition?format=suite").text
    table = admin.get("/v1/datasets/products/definition?format=table").text
    assert (suite, table) == (one["files"]["suite"], one["files"]["table"])
    assert admin("DELETE", "/v1/datasets/products?confirm=products").status_code == 200
    again = admin.post("/v1/datasets", json={"files": {"suite": suite, "table": table}})
    assert again.status_code == 201, again.text
    assert (again.json["files"], again.json["definition"]) == (one["files"], one["definition"])
    assert again.json["version"] == 2, "a version is never given twice"


def test_a_change_is_tried_and_made_against_its_version(admin: Caller, settings: Settings) -> None:
    one = created(admin)
    assert "products_name_search" in indexes(settings)
    with psycopg.connect(settings.database_url) as connection:
        connection.execute(
            "insert into warehouse.products (sku, name, price, in_stock, added_on, kind, _import_id, _row)"
            " values ('1', 'long enough', 1.5, true, '2024-01-01', 'A', gen_random_uuid(), 1)"
        )
    wanted: dict[str, Any] = {"stock": {"type": "integer"}, "price": {"type": "text"}, "name": {"max_length": 5}}
    tried = changed(admin, one, 1, "?dry_run=true", **wanted)
    assert tried.status_code == 200, tried.text
    assert "column stock added" in tried.json["changes"] and "column price: numeric became text" in tried.json["changes"]
    assert (tried.json["loaded"]["records"], tried.json["loaded"]["errors"]) == (1, 1)
    assert [code["code"] for code in tried.json["loaded"]["codes"]] == ["value_too_long"]
    assert admin.get("/v1/datasets/products/definition").json["version"] == 1
    done = changed(admin, one, 1, **{**wanted, "name": {"max_length": 5, "warn": ["max_length"]}})
    assert (done.status_code, done.json["version"], done.json["changed"]) == (200, 2, True), done.text
    now = admin.get("/v1/datasets/products/definition")
    assert now.headers["ETag"] == '"2"' and [v["version"] for v in now.json["versions"]] == [2, 1]
    assert admin.get("/v1/datasets/products/definition?version=1").json["definition"] == one["definition"]
    record = admin.get("/v1/datasets/products/records/1").json
    assert (record["price"], record["stock"]) == ("1.5", None)
    assert admin.post("/v1/query", json={"sql": "select depth from products_tree"}).json["rows"] == [[0]]
    unsearched = changed(admin, now.json, 2, kind={"search": True}, name={"search": False})
    assert unsearched.status_code == 200, unsearched.text
    told = ("column name: search is false", "index products_kind_search built", "index products_name_search dropped")
    assert set(told) <= set(unsearched.json["changes"])
    assert {name for name in indexes(settings) if name.endswith("_search")} == {"products_kind_search"}
    now = admin.get("/v1/datasets/products/definition")
    stale = changed(admin, one, 1, weight={"type": "integer"})
    assert (stale.status_code, stale.json["code"], stale.json["version"]) == (412, "other_version", 3)
    without = admin("PUT", "/v1/datasets/products/definition", json={"definition": now.json["definition"]})
    assert (without.status_code, without.json["code"]) == (428, "version_required")


def test_an_index_that_cannot_be_built_is_not_told_as_built(
    admin: Caller, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never_alone(*_: object) -> None:
        raise Unreachable("Another migration has been running all the time.")

    one = created(admin)
    with monkeypatch.context() as change:
        change.setattr(index_changes, "alone", never_alone)
        done = changed(admin, one, 1, kind={"search": True})
    assert (done.status_code, done.json["version"]) == (200, 2), done.text
    told = "indexes not built: Another migration has been running all the time; run bulkhead dataset apply"
    assert done.json["changes"] == [told, "column kind: search is true"]
    assert "products_kind_search" not in indexes(settings)
    assert changed(admin, done.json | {"name": "products"}, 2, name={"search": False}).status_code == 200
    assert {name for name in indexes(settings) if name.endswith("_search")} == {"products_kind_search"}, "and it is made up for"


def test_what_cannot_change_is_refused_with_the_reason(admin: Caller, make_import: MakeImport) -> None:
    one = created(admin)
    narrow = changed(admin, one, 1, price={"type": "integer"})
    assert (narrow.status_code, narrow.json["code"]) == (409, "cannot_change") and "become wider" in narrow.json["detail"]
    fewer = {**one["definition"], "columns": one["definition"]["columns"][:-1]}
    headers = {"If-Match": '"1"'}
    gone = admin("PUT", "/v1/datasets/products/definition", json={"definition": fewer}, headers=headers)
    assert gone.status_code == 409 and "cannot be removed" in gone.json["detail"]
    other_key = {**one["definition"], "key": "name"}
    moved = admin("PUT", "/v1/datasets/products/definition", json={"definition": other_key}, headers=headers)
    assert moved.status_code == 409 and "cannot change" in moved.json["detail"]
    of_files = admin("PUT", "/v1/datasets/places/definition", json={"definition": one["definition"]}, headers=headers)
    assert of_files.status_code == 409 and "expectations/places.json" in of_files.json["detail"]
    make_import(State.VALIDATING, dataset="products")
    at_work = changed(admin, one, 1, stock={"type": "integer"})
    assert (at_work.status_code, at_work.json["code"]) == (409, "imports_at_work")
    assert admin("DELETE", "/v1/datasets/products?confirm=products").json["code"] == "imports_at_work"


def test_a_name_that_is_taken_or_wrong_is_refused(admin: Caller) -> None:
    one = created(admin)
    for name, code in (("places", "dataset_exists"), ("products", "dataset_exists"), ("places_tree", "dataset_exists")):
        answer = admin.post("/v1/datasets", json={"definition": {**one["definition"], "name": name}})
        assert (answer.status_code, answer.json["code"]) == (409, code), name
    for name in ("every", "A", "a-b", "new", "x" * 51, "../x", "a b", ""):
        answer = admin.post("/v1/datasets", json={"definition": {**one["definition"], "name": name}})
        assert answer.status_code == 422, name
    assert proposed(admin, name="places")["exists"]


def test_sql_of_a_definition_is_never_executed_as_it_is(admin: Caller, settings: Settings) -> None:
    one = created(admin)
    suite = one["files"]["suite"].replace("products", "goods")
    table = one["files"]["table"].replace("products", "goods")
    query = '"expectations": [{"type": "unexpected_rows_expectation", "kwargs": {"unexpected_rows_query": "select 1"}},'
    wrong = {
        "another statement": (suite, f"{table}; drop table warehouse.places;"),
        "a function": (suite, table.replace('"price" numeric', '"price" numeric default pg_sleep(1)')),
        "another table": (suite, table.replace("warehouse.goods", "ledger.goods")),
        "SQL in a rule": (suite.replace('"expectations": [', query), table),
        "a condition": (suite.replace('"kwargs": {', '"kwargs": {"row_condition": "1=1",', 1), table),
        "no JSON": ("{", table),
        "a list": ("[]", table),
    }
    for what, (one_suite, one_table) in wrong.items():
        answer = admin.post("/v1/datasets", json={"name": "goods", "files": {"suite": one_suite, "table": one_table}})
        assert answer.status_code == 422, (what, answer.text)
    with psycopg.connect(settings.database_url) as connection:
        assert connection.execute("select to_regclass('warehouse.goods')").fetchone() == (None,)
        assert connection.execute("select to_regclass('warehouse.places') is not null").fetchone() == (True,)


def test_hostile_texts_are_texts(admin: Caller) -> None:
    """In a title, a header, a value: none of them is SQL or markup."""
    evil = f"{EVIL}'; drop table warehouse.places; --"
    text = f'code,"{evil.replace(chr(34), chr(34) * 2)}",kind\n' + "".join(f"c{n},x,a'b\n" for n in range(8))
    one = proposed(admin, text, "hostile")
    assert one["problem"] == "", one
    answer = admin.post("/v1/datasets", json={"definition": {**one["definition"], "title": f"{evil}\nselect 1;"}})
    assert answer.status_code == 201, answer.text
    assert answer.json["title"] == f"{evil} select 1;"
    shown = admin.get("/v1/datasets/hostile").json
    assert shown["title"] == f"{evil} select 1;" and shown["parent"] == "parentId"
    assert admin.get("/v1/datasets/places").status_code == 200


def test_a_dataset_without_parents_is_loaded(admin: Caller, edges: AppContext, settings: Settings) -> None:
    text = "code,name\nA,first\nB,second\n"
    with running_worker(settings):
        one = created(admin, text, "flat")
        assert one["definition"]["parent"] is None
        done = imported(admin, edges, text, "flat")
    assert (done["state"], done["counts"]["inserted"]) == ("succeeded", 2), done


def test_a_drop_keeps_a_dump(admin: Caller, settings: Settings, store: Store) -> None:
    created(admin)
    with psycopg.connect(settings.database_url) as connection:
        connection.execute(
            "insert into warehouse.products (sku, name, price, in_stock, added_on, kind, _import_id, _row)"
            " values ('007', 'kept', 1.5, true, '2024-01-01', 'A', gen_random_uuid(), 1)"
        )
    assert admin("DELETE", "/v1/datasets/products").json["code"] == "not_confirmed"
    assert admin("DELETE", "/v1/datasets/products?confirm=product").status_code == 422
    dropped = admin("DELETE", "/v1/datasets/products?confirm=products")
    assert dropped.status_code == 200, dropped.text
    assert (dropped.json["records"], dropped.json["name"]) == (1, "products") and dropped.json["kept_until"]
    lines = gzip.decompress(store.get_bytes(f"{dropped.json['dump']}table.csv.gz")).decode().splitlines()
    assert lines[0].startswith("sku,name,parent_sku") and lines[1].startswith("007,kept,")
    assert json.loads(store.get_bytes(f"{dropped.json['dump']}expectations/products.json"))["name"] == "products"
    assert admin.get("/v1/datasets/products").status_code == 404
    with psycopg.connect(settings.database_url) as connection:
        assert connection.execute("select to_regclass('warehouse.products')").fetchone() == (None,)
        assert connection.execute("select to_regclass('warehouse.products_tree')").fetchone() == (None,)


def test_only_an_admin_may_do_any_of_it(api: Caller, caller_for: Callable[[str], Caller]) -> None:
    for caller in (api, caller_for("reader")):
        assert caller.post("/v1/datasets/propose?name=x", data=b"id\n1\n").status_code == 403
        assert caller.post("/v1/datasets", json={}).status_code == 403
        assert caller.get("/v1/datasets/places/definition").status_code == 403
        assert caller("PUT", "/v1/datasets/places/definition", json={}).status_code == 403
        assert caller("DELETE", "/v1/datasets/places?confirm=places").status_code == 403


def test_what_is_changed_is_in_the_audit_log(admin: Caller) -> None:
    one = created(admin)
    changed(admin, one, 1, stock={"type": "integer"})
    admin("DELETE", "/v1/datasets/products?confirm=products")
    events = admin.get("/v1/audit-log?action=dataset_changed").json["items"]
    assert [event["details"]["what"] for event in events] == ["dropped", "definition changed", "created"]


def test_two_sources_see_one_state(admin: Caller, settings: Settings, tmp_path: Path) -> None:
    """A process that has asked a moment ago, one with another home, and one that may not write there."""
    quick = source_of(settings)
    assert "products" not in quick.names()
    created(admin)
    assert quick.load("products", fresh=False).definition_version == 1
    other = source_of(settings.model_copy(update={"home": tmp_path / "other"}))
    assert other.load("products").definition_version == 1
    assert other.root() != quick.root()
    (tmp_path / "file").write_text("")
    assert source_of(settings.model_copy(update={"home": tmp_path / "file"})).names(fresh=True) == [
        "places",
        "products",
        "records",
    ]


def test_the_commands_do_all_of_it(
    server: Server, key_for: Callable[[str], str], environment: dict[str, str], tmp_path: Path
) -> None:
    """From a file to a dataset, to its two files and back."""
    file = tmp_path / "products.csv"
    file.write_text(PRODUCTS)
    known = {**environment, "BULKHEAD_URL": server.url, "BULKHEAD_API_KEY": key_for("admin")}

    def run(*words: str, code: int = 0) -> str:
        command = [sys.executable, "-m", "pipeline.cli", "dataset", *words]
        done = subprocess.run(command, env=known, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
        assert done.returncode == code, done.stderr
        return done.stdout

    assert json.loads(run("new", "products", str(file), "--json"))["definition"]["key"] == "sku"
    assert "parent_sku" in run("new", "products", str(file), "--yes")
    run("new", "products", str(file), "--yes", code=1)
    assert [one["version"] for one in json.loads(run("list", "--json"))] == [None, 1, None]
    folder = tmp_path / "out"
    assert len(json.loads(run("export", str(folder), "--json"))["written"]) == 2
    assert json.loads(run("import", str(folder), "--json"))[0]["changes"] == []
    suite = folder / "expectations" / "products.json"
    suite.write_text(suite.read_text().replace('"title": "Products"', '"title": "Our products"'))
    assert "title: Our products" in run("import", str(folder))
    assert json.loads(run("show", "products", "--json"))["version"] == 2
    run("drop", "products", "--confirm", "product", code=1)
    assert json.loads(run("drop", "products", "--confirm", "products", "--json"))["records"] == 0
    assert run("import", str(folder)) == "products: created\n"
