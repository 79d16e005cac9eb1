"""What was removed is answered as that, everywhere, and not as if it had never been."""

from __future__ import annotations

import re
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text

from pipeline import retention
from pipeline.contracts.object_keys import Kept, incoming_key, report_prefix, results_prefix
from pipeline.contracts.states import State
from tests.support.http import Caller
from web.app_context import AppContext

KEEPS = {Kept.RESULTS: "keep_results", Kept.REPORT: "keep_reports", Kept.SOURCE: "keep_sources"}


@pytest.fixture
def over(edges: AppContext) -> str:
    """An import that was loaded in part, with two findings and one failed record."""
    import_id = str(uuid.uuid4())
    key = incoming_key("places", import_id, "a.csv")
    edges.store.put_bytes(key, b"id,parentId,name\n1,,a\n,,b\n")
    etag = edges.store.head(key).etag  # type: ignore[union-attr]
    edges.ledger.imports.open(import_id, dataset="places", filename="a.csv", bucket=edges.store.bucket, key=key, etag=etag)
    for state in (State.QUEUED, State.VALIDATING, State.PREPARING, State.LOADING):
        edges.ledger.imports.move(import_id, state)
    counted = {"records_total": 2, "findings_errors": 1, "findings_warnings": 1}
    edges.ledger.imports.move(
        import_id, State.PARTIALLY_SUCCEEDED, findings_by_code={"missing_id": 1, "check_failed": 1}, reading={}, **counted
    )
    for name in ("failed-exact.csv", "failed.csv", "failed.json", "summary.json"):
        edges.store.put_bytes(results_prefix(import_id) + name, b"{}")
    for name in ("findings.csv", "groups.json", "docs/index.html"):
        edges.store.put_bytes(report_prefix(import_id) + name, b'{"items": [], "groups": 0, "total": 0}')
    with edges.engine.begin() as connection:
        connection.execute(
            text("insert into ledger.part values (:id, 0, 1, 0, 0, 0, 1), (:id, 1, 1, 1, 0, 0, 0)"), {"id": import_id}
        )
        connection.execute(
            text(
                "insert into ledger.failure (import_id, _row, part_no, batch_no, id, code, message)"
                " values (:id, 2, 0, 0, '', 'quarantined', 'An id is missing.')"
            ),
            {"id": import_id},
        )
    return import_id


def clean(edges: AppContext, *what: Kept) -> None:
    keep = {KEEPS[one]: timedelta(0) for one in what}
    settings = edges.settings.model_copy(update={"keep_batches": None, "keep_uploads": None, **keep})
    later = datetime.now(UTC) + timedelta(hours=1)
    assert retention.clean(settings, edges.store, edges.ledger, beat=lambda _: None, now=later).failed == 0


@pytest.mark.parametrize(
    ("what", "method", "path"),
    [
        (Kept.REPORT, "GET", "/errors"),
        (Kept.REPORT, "GET", "/errors?code=missing_id"),
        (Kept.REPORT, "GET", "/errors?format=csv"),
        (Kept.REPORT, "GET", "/errors?format=xlsx"),
        (Kept.REPORT, "GET", "/errors?format=json&severity=error"),
        (Kept.REPORT, "GET", "/errors/groups"),
        (Kept.REPORT, "GET", "/report/"),
        (Kept.REPORT, "GET", "/report/docs.css"),
        (Kept.RESULTS, "GET", "/results/failed"),
        (Kept.RESULTS, "GET", "/results/failed?format=csv"),
        (Kept.RESULTS, "POST", "/retry"),
    ],
)
def test_the_answer_says_since_when_it_is_removed_and_by_which_setting(
    api: Caller, edges: AppContext, over: str, what: Kept, method: str, path: str
) -> None:
    clean(edges, *(one for one in KEEPS if one is not what))
    before = api(method, f"/v1/imports/{over}{path}")
    assert before.status_code != 410, "another kind was removed, not this one"
    clean(edges, what)
    answer = api(method, f"/v1/imports/{over}{path}")
    assert (answer.status_code, answer.content_type) == (410, "application/problem+json")
    assert answer.json is not None
    assert (answer.json["code"], answer.json["setting"]) == ("no_longer_kept", what.setting)
    assert what.setting in answer.json["detail"]
    shown = api.get(f"/v1/imports/{over}").json
    assert shown is not None
    assert answer.json["removed_at"] == shown["removed"][what]
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT.*Z", answer.json["removed_at"])


def test_the_counts_stay_and_say_what_was_removed(api: Caller, edges: AppContext, over: str) -> None:
    before = api.get(f"/v1/imports/{over}/results").json
    assert before is not None
    assert before["removed"] == {"results": None, "report": None, "source": None}
    assert {file["name"] for file in before["files"]} == {"findings.csv", "failed-exact.csv", "failed.csv", "failed.json"}
    clean(edges, *KEEPS)
    after = api.get(f"/v1/imports/{over}/results").json
    assert after is not None
    assert (after["counts"], after["files"], after["summary"]) == (before["counts"], [], None)
    assert all(after["removed"].values())
    assert after["counts"]["failed"] == 1


def test_a_file_of_which_nothing_was_loaded_is_not_tried_again_once_it_is_gone(
    api: Caller, edges: AppContext, over: str
) -> None:
    with edges.engine.begin() as connection:
        connection.execute(text("delete from ledger.part; update ledger.import set unprocessed = 2, state = 'canceled'"))
    clean(edges, Kept.SOURCE)
    answer = api.post(f"/v1/imports/{over}/retry")
    assert answer.json is not None
    assert (answer.status_code, answer.json["setting"]) == (410, "BULKHEAD_KEEP_SOURCES")
    assert len(edges.ledger.imports.page()) == 1, "and nothing was begun"
    mended = api.post(f"/v1/imports/{over}/retry?filename=a.csv", data=b"id,parentId,name\n7,,mended\n")
    assert mended.status_code == 202, "a file of one's own can always be brought"


def test_the_page_says_what_is_gone_and_offers_nothing_that_is(browser: FlaskClient, edges: AppContext, over: str) -> None:
    page = browser.get(f"/imports/{over}").text
    assert "Deleted by the retention policy" not in page
    for link in ("/errors?format=csv", "/results/failed?format=csv", f"/imports/{over}/report", f"/imports/{over}/retry"):
        assert link in page, link
    clean(edges, *KEEPS)
    page = browser.get(f"/imports/{over}").text
    assert "Deleted by the retention policy" in page
    for setting in ("BULKHEAD_KEEP_RESULTS", "BULKHEAD_KEEP_REPORTS", "BULKHEAD_KEEP_SOURCES"):
        assert setting in page
    for link in ("/errors?format", "/results/failed", f"/imports/{over}/report", f"/imports/{over}/retry"):
        assert link not in page, link
