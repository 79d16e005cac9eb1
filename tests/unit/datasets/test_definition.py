"""A definition and its two files: the same in both directions; and what its table may not contain."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from pipeline.datasets import table_text
from pipeline.datasets.dataset import load_dataset
from pipeline.datasets.definition import definition_from_json
from pipeline.datasets.definition_files import dataset_from, definition_of, render
from pipeline.errors import InvalidRequest
from pipeline.warehouse.type_widening import is_wider

PRODUCTS: dict[str, Any] = {
    "name": "products",
    "title": "Products",
    "key": "sku",
    "parent": None,
    "columns": [
        {"name": "sku", "headers": ["SKU"], "max_length": 10, "search": True},
        {"name": "price", "type": "numeric", "required": True, "warn": ["required"]},
        {"name": "kind", "values": ["a", "b"], "required": True},
        {"name": "added", "type": "date", "format": "DD.MM.YYYY"},
    ],
    "other_meta": {"bounds": {"max_depth": 3}},
    "other_rules": [{"type": "expect_column_values_to_match_regex", "kwargs": {"column": "sku", "regex": "^P"}, "meta": {}}],
}


def test_a_definition_is_the_same_by_way_of_its_files() -> None:
    made = definition_from_json(PRODUCTS)
    files = render(made)
    dataset = dataset_from("products", files)
    again = definition_of(dataset)
    assert render(again, dataset) == files
    assert definition_of(dataset_from("products", render(again))) == again
    assert definition_from_json(json.loads(json.dumps(again.to_json()))) == again
    assert dataset.parent == "parentId" and again.parent is None


def test_the_order_of_a_search_is_kept() -> None:
    columns = [{"name": name, "search": name != "kind"} for name in ("sku", "name", "kind", "title")]
    made = definition_from_json({**PRODUCTS, "columns": columns, "other_meta": {}, "other_rules": []})
    assert json.loads(render(made).suite)["meta"]["search"] == ["sku", "name", "title"]
    ordered = definition_of(dataset_from("products", render(replace(made, other_meta={"search": ["title", "sku", "kind"]}))))
    assert ordered.other_meta == {"search": ["title", "sku", "name"]}
    assert [one.name for one in ordered.columns if one.search] == ["sku", "name", "title"]
    assert json.loads(render(ordered).suite)["meta"]["search"] == ["title", "sku", "name"]


def test_files_of_a_checkout_lose_nothing() -> None:
    name = "places"
    dataset = load_dataset(name)
    again = dataset_from(name, render(definition_of(dataset), dataset))
    assert again.names == dataset.names and again.suite["meta"] == dataset.suite["meta"]
    rules = [json.dumps(rule, sort_keys=True) for rule in again.suite["expectations"]]
    assert sorted(rules) == sorted(json.dumps(rule, sort_keys=True) for rule in dataset.suite["expectations"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"key": "nothing"}, "not among the columns"),
        ({"parent": "sku"}, "key and parent at once"),
        ({"columns": [{"name": "sku"}, {"name": "SKU"}]}, "differ in case"),
        ({"columns": [{"name": "sku", "type": "integer"}]}, "no digit is lost"),
        ({"columns": [{"name": "sku"}, {"name": "_row"}]}, "keeps it for itself"),
        ({"columns": [{"name": "sku", "type": "regclass"}]}, "the type 'regclass'"),
        ({"columns": [{"name": "sku"}, {"name": "n", "type": "integer", "values": ["1"]}]}, "are for texts"),
        ({"columns": [{"name": "sku"}, {"name": "n", "type": "date", "search": True}]}, "only texts are searched"),
        ({"columns": [{"name": "sku", "lenght": 1}]}, "no 'lenght'"),
        ({"other_rules": [{"type": "unexpected_rows_expectation", "kwargs": {}}]}, "no expectation about columns"),
        ({"other_rules": [{"type": "expect_column_max_to_be_between", "kwargs": {"row_condition": "x"}}]}, "SQL is only"),
        ({"title": "a\0b"}, "NUL"),
    ],
)
def test_a_definition_that_means_nothing_is_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        definition_from_json({**PRODUCTS, **change})


TABLE = "create table warehouse.p (id text primary key{more});{after}"


@pytest.mark.parametrize(
    ("more", "after"),
    [
        ("", "drop table warehouse.p"),
        ("", "select 1"),
        ("", "create table warehouse.p (id text primary key)"),
        ("", "create index i on warehouse.p (lower(id))"),
        ("", "create index i on warehouse.q (id)"),
        ("", "create unique index i on warehouse.p (id)"),
        ("", "create index i on warehouse.p (id) where id = '1'"),
        (", a int default nextval('x')", ""),
        (", a int default (select 1)", ""),
        (", a int generated always as (1) stored", ""),
        (", a text check (pg_sleep(1) is null)", ""),
        (", a text references ledger.import", ""),
        (", a ledger.kind", ""),
        (", like ledger.import", ""),
        (", ctid text", ""),
    ],
)
def test_a_table_has_columns_and_indexes_only(more: str, after: str) -> None:
    with pytest.raises(InvalidRequest):
        table_text.parse(TABLE.format(more=more, after=after), "p")


def test_a_table_is_the_same_by_way_of_its_sql() -> None:
    sql = TABLE.format(
        more=", \"A \"\"b\" numeric(9,2) not null default -1.5, c text default 'it''s'",
        after="create index i on warehouse.p (c, id)",
    )
    one = table_text.parse(f"-- First.\n-- Second.\n{sql}", "p")
    assert table_text.parse(table_text.render(one), "p") == one
    assert [(c.name, c.type, c.default) for c in one.columns[1:]] == [
        ('A "b', "numeric(9, 2)", "-1.5"),
        ("c", "text", "'it''s'"),
    ]


def test_a_type_is_wider_if_it_takes_every_value() -> None:
    wider = [
        ("bigint", "integer"),
        ("numeric", "bigint"),
        ("text", "date"),
        ("varchar(20)", "varchar(10)"),
        ("timestamp", "date"),
    ]
    wider += [("numeric(12, 2)", "numeric(10, 2)"), ("numeric", "numeric(10, 2)"), ("numeric(20, 0)", "bigint")]
    narrower = [("integer", "bigint"), ("numeric(12, 4)", "numeric(11, 2)"), ("date", "timestamp"), ("boolean", "integer")]
    assert all(is_wider(wide, narrow) for wide, narrow in wider)
    assert not any(is_wider(narrow, wide) for wide, narrow in wider)
    assert not any(is_wider(wide, narrow) for wide, narrow in narrower)
