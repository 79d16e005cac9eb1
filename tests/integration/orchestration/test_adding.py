"""The dataset and the mart of docs/extending.md, against a real PostgreSQL."""

from __future__ import annotations

import re
from pathlib import Path

import psycopg
import pytest

from pipeline.cli import doctor
from pipeline.local.up import local_stack
from pipeline.settings import ROOT, Settings
from pipeline.warehouse import migrate


def test_a_dataset_and_a_mart_are_there_after_migrate(extending: dict[str, str], a_root: Path, database: str) -> None:
    for name in ("expectations/products.json", "sql/tables/products.sql", "sql/marts/product_prices.sql"):
        (a_root / name).write_text(extending[name], encoding="utf-8")
    done = [str(one) for one in migrate.migrate(database, root=a_root)]
    assert any("products" in line for line in done) and any("product_prices" in line for line in done)
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(
            """insert into warehouse.products (sku, part_of, label, price, _import_id, _row)
            values ('BIK-1', null, 'Bike', 499, gen_random_uuid(), 1), ('WHE-2', 'BIK-1', 'Wheel', 1.5, gen_random_uuid(), 2)"""
        )
        connection.execute("refresh materialized view warehouse.product_prices")
        prices = connection.execute("select sku, price::text from warehouse.product_prices order by sku").fetchall()
    assert prices == [("BIK-1", "500.50"), ("WHE-2", "1.50")]


def said(settings: Settings, name: str) -> doctor.Result:
    """What doctor says of one thing."""
    return next(doctor.checks(settings, [name]))


def test_up_migrates_what_it_serves_and_doctor_tells_of_every_table(
    extending: dict[str, str],
    a_root: Path,
    database: str,
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = settings.model_copy(update={"datasets_root": a_root})
    well = said(settings, "tables")
    assert (well.state, well.detail) == ("ok", "as their files declare them: places, records")
    for name in ("expectations/products.json", "sql/tables/products.sql"):
        (a_root / name).write_text(extending[name], encoding="utf-8")
    new = said(settings, "tables")
    assert (new.state, new.detail, new.mend) == ("fail", "products has no table yet", "Run: bulkhead migrate")

    monkeypatch.setenv("BULKHEAD_DATASETS_ROOT", str(a_root))
    stack = local_stack(tmp_path / "home", say=lambda line: None)
    assert stack._prepare is not None
    stack._prepare({"DATABASE_URL": database})
    assert said(settings, "tables").detail == "as their files declare them: places, products, records"

    file = a_root / "sql" / "tables" / "products.sql"
    text = file.read_text()
    file.write_text(text.replace("    _import_id", "    colour text,\n    _import_id", 1))
    assert said(settings, "tables").detail == ("products differs from its file; a migration would do this: column colour added")
    file.write_text(re.sub(r"numeric(\(.*?\))?", "text", text, count=1))
    found = said(settings, "tables")
    assert not found.ok and "products differs from its file in what no migration changes: " in found.detail
    file.write_text(text.replace("numeric", "nummeric"))
    assert "products cannot be compared with its file: sql/tables/products.sql is not as" in said(settings, "tables").detail


def test_doctor_compares_the_ledger_with_this_release(database: str, settings: Settings) -> None:
    assert said(settings, "PostgreSQL").detail.endswith(f"the ledger at version {migrate.newest_version()}")
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("update alembic_version set version_num = '0003'")
        found = said(settings, "PostgreSQL")
        assert (found.ok, found.detail.partition(",")[0]) == (False, "the ledger is at version 0003")
        connection.execute("drop table alembic_version")
    assert said(settings, "PostgreSQL").detail == "the database has no tables of Bulkhead"


def test_migrate_works_in_a_checkout_with_a_percent_sign_in_its_path(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "100%").symlink_to(ROOT)
    monkeypatch.setattr("pipeline.warehouse.migrate.ROOT", tmp_path / "100%")
    assert str(migrate.migrate(database)[0]) == f"ledger at version {migrate.newest_version()}"
