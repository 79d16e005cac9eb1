"""The dataset and the mart of docs/extending.md, against a real PostgreSQL."""

from __future__ import annotations

from pathlib import Path

import psycopg

from pipeline import warehouse


def test_a_dataset_and_a_mart_are_there_after_migrate(extending: dict[str, str], a_root: Path, database: str) -> None:
    for name in ("expectations/products.json", "sql/tables/products.sql", "sql/marts/product_prices.sql"):
        (a_root / name).write_text(extending[name], encoding="utf-8")
    done = [str(one) for one in warehouse.migrate(database, root=a_root)]
    assert any("products" in line for line in done) and any("product_prices" in line for line in done)
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(
            """insert into warehouse.products (sku, part_of, label, price, _import_id, _row)
            values ('BIK-1', null, 'Bike', 499, gen_random_uuid(), 1), ('WHE-2', 'BIK-1', 'Wheel', 1.5, gen_random_uuid(), 2)"""
        )
        connection.execute("refresh materialized view warehouse.product_prices")
        prices = connection.execute("select sku, price::text from warehouse.product_prices order by sku").fetchall()
    assert prices == [("BIK-1", "500.50"), ("WHE-2", "1.50")]
