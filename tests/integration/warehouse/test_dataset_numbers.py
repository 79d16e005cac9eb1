"""The numbers of a dataset: exact for any tree, also a broken one; the largest records after their parents; not too often."""

from __future__ import annotations

import random
from collections import defaultdict

import psycopg
import pytest

from pipeline.datasets.dataset import load_dataset
from pipeline.settings import Settings
from pipeline.warehouse import dataset_numbers
from pipeline.warehouse.dataset_numbers import TOP_LEVELS, TOP_RECORDS, DatasetNumbers, TopRecord
from tests.support.records import TREE, put
from web.app_context import AppContext

RECORDS = load_dataset("records")


def counted(edges: AppContext) -> tuple[DatasetNumbers, list[TopRecord]]:
    """The numbers after a count."""
    edges.numbers.count(RECORDS, seconds=60)
    return edges.numbers.of(["records"])["records"], edges.numbers.top("records")


def numbers(one: DatasetNumbers) -> tuple[int | None, ...]:
    """Records, roots, depth and records that no root leads to."""
    assert one.error == ""
    return one.records, one.roots, one.depth, one.unreachable


def test_a_tree_is_counted(edges: AppContext, settings: Settings) -> None:
    put(settings, *TREE)
    found, top = counted(edges)
    assert numbers(found) == (11, 2, 3, 0)
    assert [(one.id, one.children, one.descendants, one.depth) for one in top[:3]] == [
        ("r", 5, 9, 0), ("r1", 3, 4, 1), ("r11", 1, 1, 2),
    ]  # fmt: skip
    assert sorted(one.id for one in top) == sorted(child for child, _ in TREE)


def test_of_nothing_and_of_roots_alone(edges: AppContext, settings: Settings) -> None:
    assert edges.numbers.of(["records"])["records"] == DatasetNumbers("records")
    assert numbers(counted(edges)[0]) == (0, 0, None, 0)
    put(settings, *[(f"r{n:04}", None) for n in range(TOP_RECORDS + 20)])
    found, top = counted(edges)
    assert numbers(found) == (TOP_RECORDS + 20, TOP_RECORDS + 20, 0, 0)
    assert [one.id for one in top] == [f"r{n:04}" for n in range(TOP_RECORDS)]


def test_what_no_root_leads_to_is_told(edges: AppContext, settings: Settings) -> None:
    put(settings, ("a", None), ("b", "a"), ("orphan", "gone"), ("its child", "orphan"), ("x", "y"), ("y", "x"), ("z", "x"))
    found, top = counted(edges)
    assert numbers(found) == (7, 1, 1, 5)
    assert [one.id for one in top] == ["a", "b"]


@pytest.mark.parametrize("seed", range(3))
def test_any_tree_is_counted_as_by_hand(edges: AppContext, settings: Settings, seed: int) -> None:
    chance, parents = random.Random(seed), dict[str, str | None]()
    for n in range(2000):
        parents[f"n{n}"] = None if n < 3 else f"n{chance.randrange(max(0, n - chance.choice([5, 2000])), n)}"
    put(settings, *parents.items())
    below: dict[str, int] = defaultdict(int)
    depths: dict[str, int] = {}
    for one, parent in parents.items():
        depths[one] = 0 if parent is None else depths[parent] + 1
        while parent is not None:
            below[parent] += 1
            parent = parents[parent]
    found, top = counted(edges)
    assert numbers(found) == (2000, 3, max(depths.values()), 0)
    shown = [one for one in parents if depths[one] < TOP_LEVELS]
    wanted = sorted(shown, key=lambda one: (-below[one], depths[one], one))[:TOP_RECORDS]
    with_children = [one for one in wanted if below[one]]
    assert [one.id for one in top if one.descendants] == with_children
    assert all((one.descendants, one.depth) == (below[one.id], depths[one.id]) for one in top)
    seen = set()
    for one in top:
        assert one.parent is None or one.parent in seen
        seen.add(one.id)


def test_a_long_chain_ends(edges: AppContext, settings: Settings) -> None:
    put(settings, ("0", None), *[(str(n), str(n - 1)) for n in range(1, 300)])
    found, top = counted(edges)
    assert numbers(found) == (300, 1, 299, 0)
    assert [one.id for one in top] == [str(n) for n in range(TOP_LEVELS)]


def test_a_dataset_is_counted_after_loads_and_not_all_the_time(edges: AppContext, settings: Settings) -> None:
    names = ["places", "records"]
    assert edges.numbers.due(names) == names, "never counted"
    counted(edges)
    assert edges.numbers.due(names) == ["places"]
    assert edges.numbers.of(names)["records"].is_current
    assert edges.numbers.want("records") is False, "the last count is no ten seconds ago"
    assert not edges.numbers.of(names)["records"].is_current
    assert edges.numbers.due(["records"]) == []
    _long_ago(settings, seconds=1)
    assert edges.numbers.due(["records"]) == ["records"]
    assert edges.numbers.want("records") is True
    _long_ago(settings, seconds=60)
    assert edges.numbers.due(["records"]) == [], "a count that took a minute is followed by a pause of twenty"


def _long_ago(settings: Settings, seconds: float) -> None:
    with psycopg.connect(settings.database_url) as connection:
        connection.execute(
            "update ledger.dataset_numbers set tried_at = now() - interval '15 minutes', seconds = %s", (seconds,)
        )


def test_a_count_that_fails_keeps_the_numbers_and_says_why(
    edges: AppContext, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(settings, ("a", None))
    counted(edges)
    monkeypatch.setattr(dataset_numbers, "may_take", lambda seconds: "set local statement_timeout = 1")
    put(settings, *[(f"b{n}", "a") for n in range(2000)])
    with psycopg.connect(settings.database_url) as locking:
        locking.execute("lock table warehouse.records in access exclusive mode")
        edges.numbers.count(RECORDS, seconds=1)
    kept = edges.numbers.of(["records"])["records"]
    assert (kept.records, bool(kept.error)) == (1, True)
    assert [one.id for one in edges.numbers.top("records")] == ["a"]
