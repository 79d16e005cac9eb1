"""meta.search: which columns are searched, which keys may search them, and the indexes for it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pipeline.datasets.dataset import Dataset, load_dataset
from pipeline.datasets.search_columns import NAME_BYTES_MAX, index_name, indexed_columns, search_indexes, searched_columns

PLACES = load_dataset("places")


def with_meta(**meta: Any) -> Dataset:
    """The places, with this in the suite's meta."""
    return replace(PLACES, suite={**PLACES.suite, "meta": {**PLACES.suite["meta"], **meta}})


def test_without_a_wish_all_texts_are_searched_and_none_has_an_index() -> None:
    assert searched_columns(PLACES) == ("name", "kind", "alpha_3", "flag")
    assert (indexed_columns(PLACES), search_indexes(PLACES, "warehouse")) == ((), "")


def test_the_columns_that_are_named_have_an_index_each() -> None:
    dataset = with_meta(search=["kind", "name", "kind"])
    assert searched_columns(dataset) == ("kind", "name")
    assert search_indexes(dataset, "warehouse").splitlines() == [
        f'create index if not exists "places_{name}_search" on "warehouse"."places"'
        f' ((lower(left("{name}", 100)) collate "C"), "id");'
        for name in ("kind", "name")
    ]


def test_masked_columns_are_not_searched_unless_the_key_may_unmask() -> None:
    dataset = with_meta(search=["kind", "name"], personal=["name"])
    assert searched_columns(dataset) == ("kind",)
    assert searched_columns(replace(dataset, is_clear=True)) == ("kind", "name")
    assert searched_columns(with_meta(personal=["name", "flag"])) == ("kind", "alpha_3")


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("name", "a list of text columns"),
        ([1], "a list of text columns"),
        (["nam"], "the table lacks"),
        (["numeric_code"], "numeric_code, which is int"),
    ],
)
def test_what_means_nothing_is_refused(said: Any, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        indexed_columns(with_meta(search=said))


def test_how_it_is_searched_is_no_rule() -> None:
    assert with_meta(search=["name"]).version == PLACES.version
    assert with_meta(search=["name"], audit_every="1d").version == PLACES.version
    assert with_meta(title="Others").version != PLACES.version


def test_names_of_indexes_fit_and_differ() -> None:
    long = "ü" * 40
    names = {index_name(PLACES, f"{long}{end}") for end in "ab"}
    assert len(names) == 2
    assert all(len(name.encode()) <= NAME_BYTES_MAX for name in names)
