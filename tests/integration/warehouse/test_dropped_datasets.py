"""Definitions in the database: dumps of dropped datasets by retention, and tables brought to their definitions again."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from pipeline import retention
from pipeline.adapters.s3 import Store
from pipeline.contracts.messages import Cleaned
from pipeline.datasets.definition import ColumnRules, Definition
from pipeline.datasets.definition_files import render
from pipeline.errors import Unreachable
from pipeline.ledger.ledger import Ledger
from pipeline.settings import Settings
from pipeline.warehouse.dataset_source import source_of
from pipeline.warehouse.definition_changes import DefinitionChanges
from web.app_context import AppContext

COLUMNS = (ColumnRules("sku", required=True, unique=True), ColumnRules("parent_sku"), ColumnRules("price", type="numeric"))
FILES = render(Definition("products", "Products", "sku", "parent_sku", COLUMNS))
SOON = timedelta(minutes=1)


@pytest.fixture
def changes(edges: AppContext, settings: Settings) -> DefinitionChanges:
    """Changes of a deployment that has the dataset products, with one record."""
    made = DefinitionChanges(edges.engine, source_of(settings))
    made.create("products", FILES, by="a test")
    with psycopg.connect(settings.database_url) as connection:
        connection.execute(
            "insert into warehouse.products (sku, price, _import_id, _row) values ('007', 1, gen_random_uuid(), 1)"
        )
    return made


def clean(settings: Settings, store: Store, edges: AppContext, after: timedelta, *, dry_run: bool = False) -> Cleaned:
    """Clean up as if so much time had passed."""
    now = datetime.now(UTC) + after
    return retention.clean(settings, store, Ledger(edges.engine), beat=lambda _: None, now=now, dry_run=dry_run)


def test_a_dump_is_kept_for_as_long_as_the_setting_says(
    changes: DefinitionChanges, settings: Settings, store: Store, edges: AppContext
) -> None:
    kept = settings.keep_dropped
    assert kept is not None
    prefix = changes.drop("products", store, by="a test").prefix
    changes.create("products", FILES, by="a test")
    later = changes.drop("products", store, by="a test")
    with psycopg.connect(settings.database_url) as connection:
        connection.execute(
            "update ledger.dropped_dataset set dropped_at = dropped_at + interval '1 day' where prefix = %s", [later.prefix]
        )
    objects = sorted(one.key.removeprefix(prefix) for one in store.list(prefix))
    assert objects == ["expectations/products.json", "sql/tables/products.sql", "table.csv.gz"]

    assert clean(settings, store, edges, kept - SOON).dropped == 0
    counted = clean(settings, store, edges, kept + SOON, dry_run=True)
    assert (counted.dropped, counted.objects, len([*store.list(prefix)])) == (1, 3, 3)
    done = clean(settings, store, edges, kept + SOON)
    assert (done.dropped, done.objects, done.failed) == (1, 3, 0), done
    assert [*store.list(prefix)] == [] and len([*store.list(later.prefix)]) == 3
    assert clean(settings, store, edges, kept + SOON).dropped == 0, "it is counted once"


def test_dumps_are_kept_for_ever_if_the_setting_says_so(
    changes: DefinitionChanges, settings: Settings, store: Store, edges: AppContext
) -> None:
    prefix = changes.drop("products", store, by="a test").prefix
    for_ever = settings.model_copy(update={"keep_dropped": None})
    assert clean(for_ever, store, edges, timedelta(days=9999)).dropped == 0
    assert len([*store.list(prefix)]) == 3


def test_what_a_killed_clean_up_has_left_is_found_by_the_next_one(
    changes: DefinitionChanges, settings: Settings, store: Store, edges: AppContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix, later = changes.drop("products", store, by="a test").prefix, timedelta(days=31)
    with monkeypatch.context() as patch:
        patch.setattr(store, "delete_prefix", lambda prefix: (_ for _ in ()).throw(Unreachable("S3 does not answer.")))
        broken = clean(settings, store, edges, later)
    assert (broken.dropped, broken.failed) == (0, 1)
    assert broken.errors == ("dump of products: S3 does not answer.",)
    assert clean(settings, store, edges, later).dropped == 1
    assert [*store.list(prefix)] == []


def test_apply_makes_what_was_lost(changes: DefinitionChanges, settings: Settings, environment: dict[str, str]) -> None:
    """A view that was dropped, a column that was, and a table: as their definition in the database says."""

    def run(*words: str) -> str:
        command = [sys.executable, "-m", "pipeline.cli", "dataset", "apply", *words]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def row(query: str) -> tuple[object, ...] | None:
        with psycopg.connect(settings.database_url) as connection:
            return connection.execute(query).fetchone()

    with psycopg.connect(settings.database_url) as connection:
        connection.execute("drop view warehouse.products_tree cascade")
        connection.execute("alter table warehouse.products drop column price cascade")
    done = {one["what"]: one["done"] for one in json.loads(run("--json"))}
    assert any("price" in line for line in done["table warehouse.products"]), done
    assert row("select sku, price from warehouse.products") == ("007", None), "the record is still there"
    assert row("select depth, children from warehouse.products_tree where id = '007'") is not None

    with psycopg.connect(settings.database_url) as connection:
        connection.execute("drop table warehouse.products cascade")
    assert "table warehouse.products: made" in run()
    assert row("select count(*) from warehouse.products_tree") == (0,)
    assert not any(one["done"] for one in json.loads(run("--json")) if "products" in one["what"]), "nothing is left to do"
