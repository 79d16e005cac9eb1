"""The page of findings at a size: what is looked for is found, page after page, and never by reading all of them."""

from __future__ import annotations

import re
import uuid
from typing import Any

import psycopg
import pytest
from psycopg.sql import SQL

from pipeline.contracts.states import State
from pipeline.settings import Settings
from pipeline.sqlfiles import load
from web.app_context import AppContext

FINDINGS = 30_000
RARE = FINDINGS - 10  # the number of the one finding of its code

_FILL = """
insert into ledger.finding (import_id, finding_no, code, severity, message, row, "column", value, id, cells)
select
    %(import_id)s, n,
    case when n = %(rare)s then 'missing_parent' else 'invalid_type' end,
    case when n %% 1000 = 0 then 'warning' else 'error' end,
    'It is wrong.', n + 1, 'kind',
    case when n %% 2 = 0 then 'same' else 'v' || n end,
    'id-' || n, array['id-' || n, null, case when n %% 2 = 0 then 'same' else 'v' || n end]
from generate_series(1, %(findings)s) as n
"""


@pytest.fixture
def imports(edges: AppContext, settings: Settings) -> list[str]:
    """Two imports with as many findings each, and no statistics that would tell one from the other."""
    made = []
    for _ in range(2):
        import_id = str(uuid.uuid4())
        edges.ledger.imports.open(
            import_id, dataset="places", filename="many.csv", bucket="b", key=import_id, state=State.QUEUED
        )
        for state in (State.VALIDATING, State.REJECTED):
            edges.ledger.imports.move(import_id, state)
        by_code = {"invalid_type": FINDINGS - 1, "missing_parent": 1}
        counts = {"findings_errors": FINDINGS - 30, "findings_warnings": 30, "findings_by_code": by_code}
        reading = {"columns": ["id", "parentId", "kind"], "original_columns": ["id", "parentId", "Kind"]}
        edges.ledger.imports.update(import_id, **counts, reading=reading)
        with psycopg.connect(settings.database_url) as connection:
            connection.execute(_FILL, {"import_id": import_id, "rare": RARE, "findings": FINDINGS})
        made.append(import_id)
    return made


def rows(page: str) -> list[int]:
    return [int(row.replace(",", "")) for row in re.findall(r'data-label="Where">record ([0-9,]+)<', page)]


FOUND = [  # what is asked, the first row shown, how many rows are
    ("", 2, 50),
    ("after=29980", 29_982, 20),
    ("code=missing_parent", RARE + 1, 1),
    ("code=invalid_type&after=29950", 29_952, 49),
    ("q=id-77", 78, 1),
    ("q=78", 78, 1),
    ("q=v77", 78, 1),
    ("q=same", 3, 50),
    ("q=same&after=29900", 29_903, 50),
    ("q=same&code=missing_parent", RARE + 1, 1),
    ("q=missing+parent", RARE + 1, 1),
    ("q=MISSING_PARENT", RARE + 1, 1),
]


@pytest.mark.parametrize(("query", "first", "many"), FOUND)
def test_what_is_looked_for_is_found(browser: Any, imports: list[str], query: str, first: int, many: int) -> None:
    page = browser.get(f"/imports/{imports[0]}/findings?{query}").text
    seen = rows(page)
    assert (seen[0], len(seen)) == (first, many)
    assert (' rel="next">' in page) is (many == 50 and first < 29_900)


def test_pages_follow_one_another(browser: Any, imports: list[str]) -> None:
    path, seen = f"/imports/{imports[1]}/findings?q=same&after=29700", []
    while path:
        page = browser.get(path).text
        seen += rows(page)
        further = re.search(r'href="([^"]+)" rel="next"', page)
        path = further[1].replace("&amp;", "&") if further else ""
    assert seen == [n + 1 for n in range(29_702, FINDINGS + 1, 2)]


@pytest.mark.parametrize("query", ["q=nothing+like+it", "q=%00", "q=" + "9" * 30, "q=%27%3B--", "after=99999999"])
def test_what_is_not_there_is_not_found(browser: Any, imports: list[str], query: str) -> None:
    answer = browser.get(f"/imports/{imports[0]}/findings?{query}")
    assert (answer.status_code, rows(answer.text)) == (200, [])


@pytest.mark.parametrize("query", ["code=unknown", "after=x", "after=-1"])
def test_what_cannot_be_asked_is_said(browser: Any, imports: list[str], query: str) -> None:
    assert browser.get(f"/imports/{imports[0]}/findings?{query}").status_code == 400


def test_the_bad_cell_is_marked(browser: Any, imports: list[str]) -> None:
    page = browser.get(f"/imports/{imports[0]}/findings?q=id-77").text
    cells = re.findall(r'<td class="value( wrong)?" data-label="(\w+)">', page)
    assert cells == [("", "id"), ("", "parentId"), (" wrong", "Kind")]


def test_what_was_removed_is_said(browser: Any, imports: list[str], settings: Settings) -> None:
    with psycopg.connect(settings.database_url) as connection:
        connection.execute("update ledger.import set report_removed_at = now() where id = %s", (imports[0],))
    page = browser.get(f"/imports/{imports[0]}/findings").text
    assert "BULKHEAD_KEEP_REPORTS" in page and rows(page) == []
    assert browser.get(f"/imports/{imports[0]}/report").status_code == 410


ASKED: dict[str, Any] = {
    "after": 100,
    "limit": 51,
    "codes": ["missing_parent", "invalid_type"],
    "severities": ["error", "warning"],
    "wanted": "same",
    "row": None,
}


@pytest.mark.parametrize("analyzed", [False, True])
@pytest.mark.parametrize("query", ["findings/page", "findings/page_of_codes", "findings/search"])
def test_no_page_reads_all_of_them(imports: list[str], settings: Settings, query: str, analyzed: bool) -> None:
    values = {**ASKED, "import_id": imports[0]}
    named = re.sub(r"(?<!:):([a-z_]+)", r"%(\1)s", load(f"queries/{query}"))
    with psycopg.connect(settings.database_url, autocommit=True) as connection:
        if analyzed:
            connection.execute("analyze ledger.finding")
        found = connection.execute(SQL("explain (analyze, format json) " + named), values).fetchone()  # type: ignore[arg-type]
    assert found is not None
    most = max(read_in(found[0][0]["Plan"]))
    assert most <= 2 * 51 + 2, found


def read_in(plan: dict[str, Any]) -> list[int]:
    """How many rows each scan of a plan read, those that it threw away included, in each of its rounds."""
    own = plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0) if "Relation Name" in plan else 0
    return [int(own), *(rows for inner in plan.get("Plans", []) for rows in read_in(inner))]


def test_imports_are_found_by_day_and_by_name(browser: Any, edges: AppContext, settings: Settings) -> None:
    for day, name in (("2026-03-01", "Spring.csv"), ("2026-03-02", "spring-2.csv"), ("2026-06-01", "summer.csv")):
        import_id = str(uuid.uuid4())
        edges.ledger.imports.open(import_id, dataset="places", filename=name, bucket="b", key=import_id)
        with psycopg.connect(settings.database_url) as connection:
            moment = f"{day} 23:30+00"
            connection.execute("update ledger.import set created_at = %s where id = %s", (moment, import_id))
    for query, names in (
        ("text=SPRING", ["spring-2.csv", "Spring.csv"]),
        ("since=2026-03-02", ["summer.csv", "spring-2.csv"]),
        ("since=2026-03-01&until=2026-03-01", ["Spring.csv"]),
        ("until=2026-03-02&text=2", ["spring-2.csv"]),
        ("text=%25", []),
    ):
        page = browser.get(f"/imports?{query}").text
        assert re.findall(r'<td class="name"><a [^>]+>([^<]+)<', page) == names, query
    for wrong in ("since=yesterday", "until=2026-02-30", "until=9999-12-31"):
        assert browser.get(f"/imports?{wrong}").status_code == 400


def test_a_waiting_import_shows_its_place_in_the_queue(browser: Any, edges: AppContext) -> None:
    for number in range(3):
        edges.ledger.imports.open(
            str(uuid.uuid4()), dataset="places", filename=f"{number}.csv", bucket="b", key="k", state=State.QUEUED
        )
    page = browser.get("/imports").text
    assert re.findall(r"(\d) ahead", page) == ["2", "1"]
