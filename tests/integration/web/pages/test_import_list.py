"""The list of imports: its columns, its filters in pages and API, and that each filter is found by an index."""

from __future__ import annotations

import re
import uuid
from typing import Any

import psycopg
import pytest
from sqlalchemy import text

from pipeline.contracts.states import State
from pipeline.ledger.api_keys import Role
from pipeline.settings import Settings
from pipeline.sqlfiles import load
from tests.support.html_page import Page
from tests.support.http import Caller
from web.app_context import AppContext
from web.pages import imports as import_pages

IMPORTS = 20_000
WAY = (State.VALIDATING, State.PREPARING, State.LOADING)


@pytest.fixture
def makers(edges: AppContext) -> dict[str, tuple[str, str]]:
    """Two keys by name, each with its secret and its ID."""
    made = {name: edges.keys.create(name, Role.UPLOADER) for name in ("nightly export", "warehouse sync")}
    return {name: (secret, key.id) for name, (secret, key) in made.items()}


@pytest.fixture
def listed(edges: AppContext, makers: dict[str, tuple[str, str]]) -> dict[str, str]:
    """Imports of both keys, by file name."""
    made = {}
    for filename, maker, last, columns in (
        ("good.csv", "nightly export", (*WAY, State.SUCCEEDED), {"records_total": 14}),
        ("wrong.csv", "nightly export", (State.VALIDATING, State.REJECTED), {"findings_errors": 5}),
        ("half.csv", "warehouse sync", (*WAY, State.PARTIALLY_SUCCEEDED), {}),
        ("waits.csv", "warehouse sync", (), {}),
    ):
        import_id = made[filename] = str(uuid.uuid4())
        open_ = {"dataset": "places", "bucket": "b", "key": import_id, "state": State.QUEUED}
        edges.ledger.imports.open(import_id, filename=filename, created_by=makers[maker][1], **open_)
        for state in last:
            edges.ledger.imports.move(import_id, state)
        edges.ledger.imports.update(import_id, **columns)  # type: ignore[arg-type]
    return made


def names(page: str) -> list[str]:
    return re.findall(r'<td class="name"><a [^>]+>([^<]+)<', page)


def test_pages_and_api_find_the_same(
    browser: Any, app: Any, listed: dict[str, str], makers: dict[str, tuple[str, str]]
) -> None:
    secret, key_id = makers["nightly export"]
    caller = Caller(app.test_client(), secret)
    for query, found in (
        ("", ["waits.csv", "half.csv", "wrong.csv", "good.csv"]),
        ("by=NIGHTLY", ["wrong.csv", "good.csv"]),
        (f"by={key_id}", ["wrong.csv", "good.csv"]),
        ("by=nothing", []),
        ("by=%25", []),
        ("with_errors=true", ["half.csv", "wrong.csv"]),
        ("with_errors=true&by=sync", ["half.csv"]),
        ("with_errors=false&text=OO", ["good.csv"]),
        ("state=rejected&dataset=places", ["wrong.csv"]),
    ):
        assert names(browser.get(f"/imports?{query}").text) == found, query
        answer = caller.get(f"/v1/imports?{query}")
        assert [one["source"]["filename"] for one in answer.json["items"]] == found, query
    assert names(browser.get("/imports?by=me").text) == []
    assert len(caller.get("/v1/imports?by=me").json["items"]) == 2
    assert caller.get("/v1/imports?since=2026-01-01T00:00:00Z&until=2026-01-02T00:00:00%2B01:00").json["items"] == []
    assert len(caller.get("/v1/imports?since=2026-01-01T00:00:00Z").json["items"]) == 4
    for wrong in ("with_errors=perhaps", "since=2026-01-01T00:00:00", "since=yesterday"):
        assert caller.get(f"/v1/imports?{wrong}").status_code == 422, wrong
    assert browser.get("/imports?with_errors=perhaps").status_code == 400


def test_pages_keep_the_filters(
    browser: Any, listed: dict[str, str], makers: dict[str, tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_pages, "IMPORTS_SHOWN", 1)
    first = browser.get("/imports?by=nightly&text=csv").text
    (older,) = {str(one["href"]) for one in Page(first).all("a") if "before=" in str(one.get("href"))}
    assert names(first) == ["wrong.csv"]
    second = browser.get(older).text
    assert names(second) == ["good.csv"]
    assert Page(second).field("by") == "nightly"
    assert not re.search(r'before=[^"]*">Older', second)


def test_a_row_says_who_how_many_errors_and_what_is_next(browser: Any, listed: dict[str, str]) -> None:
    page = browser.get("/imports").text
    rows = dict(zip(names(page), re.findall(r"<tr>(.*?)</tr>", page.partition("<tbody>")[2], re.DOTALL), strict=True))
    assert re.search(r'faulty" data-label="errors">5<', rows["wrong.csv"])
    assert "nightly export" in rows["wrong.csv"]
    assert "seconds</td>" in rows["wrong.csv"]
    assert (
        f'href="/imports/{listed["wrong.csv"]}/findings">See 5 problems' in rows["wrong.csv"]
        or "Fix 5 problems" in rows["wrong.csv"]
    )
    assert 'href="/datasets/places/records">View in the tree' in rows["good.csv"]
    assert 'data-label="errors">–<' in rows["good.csv"]
    assert re.search(r'class="next"></td>', rows["waits.csv"])


def test_the_page_has_the_next_step_as_its_first_button(browser: Any, listed: dict[str, str]) -> None:
    for name, label in (("wrong.csv", "Fix 5 problems"), ("good.csv", "View in the tree")):
        page = browser.get(f"/imports/{listed[name]}").text
        assert re.findall(r'class="button"[^>]*>([^<]+)<', page) == [label], "one primary button"
    assert 'class="button"' not in browser.get(f"/imports/{listed['waits.csv']}").text


# --- many imports ---

_FILL = """
insert into ledger.import (id, dataset, state, filename, size_bytes, bucket, key, etag, created_by, findings_errors, created_at)
select
    gen_random_uuid(), case when n %% 500 = 0 then 'records' else 'places' end,
    case when n %% 1000 = 7 then 'rejected' else 'succeeded' end, 'export-' || n || '.csv', 1, 'b', n::text, 'e',
    case when n %% 1000 = 3 then cast(%(rare)s as uuid) else %(often)s end, case when n %% 1000 = 7 then 5 else 0 end,
    timestamptz '2026-01-01' + n * interval '1 minute'
from generate_series(1, %(imports)s) as n
"""
NO_FILTERS = {
    **dict.fromkeys(("among", "dataset", "state", "since", "until", "named", "makers", "before")),
    **{"with_errors": False, "limit": 51},
}


@pytest.fixture
def many(settings: Settings, makers: dict[str, tuple[str, str]]) -> str:
    """Thousands of imports, few of them of a key, in a state, with errors; the ID of that key."""
    (_, often), (_, rare) = makers.values()
    with psycopg.connect(settings.database_url, autocommit=True) as connection:
        connection.execute(_FILL, {"rare": rare, "often": often, "imports": IMPORTS})
        connection.execute("vacuum analyze ledger.import")
    return rare


def test_no_filter_reads_all_imports(edges: AppContext, many: str) -> None:
    for filters in (
        {},
        {"state": "rejected"},
        {"dataset": "records"},
        {"with_errors": True},
        {"makers": [uuid.UUID(many)]},
        {"makers": [uuid.UUID(many)], "dataset": "places", "state": "succeeded"},
        {"with_errors": True, "dataset": "places"},
        {"named": "T-777."},
        {"named": "nothing like that"},
    ):
        with edges.engine.connect() as connection:
            statement = text(f"explain (analyze, format json) {load('queries/imports/page')}")
            (plan,) = connection.execute(statement, {**NO_FILTERS, **filters}).scalar_one()
        assert max(_read_in(plan["Plan"])) < IMPORTS / 20, filters


def _read_in(plan: dict[str, Any]) -> list[int]:
    """Return how many rows each scan read, those that a filter removed included."""
    own = plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0) if "Relation Name" in plan else 0
    return [int(own), *(rows for inner in plan.get("Plans", []) for rows in _read_in(inner))]
