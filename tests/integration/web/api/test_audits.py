"""The API of audits: start one, once; list, get and cancel; findings by page and as files; for the right keys only."""

from __future__ import annotations

import csv
import io
import json
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from pipeline.adapters.s3 import Store
from pipeline.contracts.audits import AuditState
from pipeline.ledger.api_keys import Role
from pipeline.settings import Settings
from tests.support.http import Caller
from tests.support.waiting import wait_until
from tests.support.workers import running_worker
from web.app_context import AppContext

AUDITS = "/v1/datasets/records/audits"


def put(settings: Settings) -> None:
    """Records of which one has no parent."""
    with psycopg.connect(settings.database_url) as connection, connection.cursor() as cursor:
        cursor.executemany(
            'insert into warehouse.records (id, "parentId", name, _import_id, _row) values (%s, %s, %s, gen_random_uuid(), 1)',
            [("1", None, "x"), ("2", "1", "y"), ("3", "gone", "1"), ("4", "lost", "=1+1")],
        )


def an_ended(edges: AppContext, dataset: str = "records") -> str:
    """An audit that has ended."""
    audit_id, attempt = edges.ledger.audits.open(str(uuid.uuid4()), dataset=dataset), datetime.now(UTC)
    edges.ledger.audits.take_up(audit_id, attempt)
    summary: dict[str, Any] = {"records": 0, "invalid": 0, "errors": 0, "warnings": 0}
    edges.ledger.audits.succeed(audit_id, attempt, summary=summary, reading={})
    return audit_id


def test_an_audit_from_its_request_to_its_files(api: Caller, settings: Settings, edges: AppContext) -> None:
    put(settings)
    begun = api.post(AUDITS)
    assert begun.status_code == 202, begun.text
    one = begun.json
    assert (one["state"], one["scheduled"], one["created_by"]["name"]) == ("queued", False, "a test's uploader")
    assert begun.headers["Location"] == one["links"]["self"] == f"http://localhost{AUDITS}/{one['id']}"
    own = f"{AUDITS}/{one['id']}"
    assert api.get(own).headers["Retry-After"] == "1"
    with running_worker(settings):
        wait_until(lambda: api.get(own).json["state"] == "succeeded", 300.0)
    done = api.get(own)
    assert "Retry-After" not in done.headers
    assert (done.json["records"], done.json["invalid"], done.json["invalid_percent"]) == (4, 2, 50.0)
    assert done.json["findings"] == {"errors": 2, "warnings": 0, "by_code": {"missing_parent": 2}}
    counted = {"code": "missing_parent", "severity": "error", "findings": 2, "records": 2, "percent": 50.0}
    assert done.json["codes"] == [counted]
    assert [rule["rule"] for rule in done.json["rules"] if not rule["met"]] == ["Every parent is loaded."]
    assert done.json["progress"] == {"step": None, "records": 4} and done.json["finished_at"]

    page = api.get(f"{own}/errors?limit=1").json
    assert (page["total"], page["items"][0]["id"], page["items"][0]["place"]) == (2, "3", "record 3")
    following = api.get(f"{own}/errors?limit=1&cursor={page['next_cursor']}").json
    assert (following["next_cursor"], following["items"][0]["id"]) == (None, "4")
    assert api.get(f"{own}/errors?code=self_parent").json["total"] == 0
    (group,) = api.get(f"{own}/errors/groups").json["items"]
    assert (group["code"], group["count"]) == ("missing_parent", 2)
    links = done.json["links"]
    rows = [*csv.DictReader(io.StringIO(api.get(links["csv"]).text))]
    assert [row["id"] for row in rows] == ["3", "4"]
    assert [found["id"] for found in json.loads(api.get(links["json"]).data)] == ["3", "4"]
    assert api.get(links["workbook"]).data[:2] == b"PK"
    assert api.get(f"{own}/errors?format=csv&code=self_parent").text.count("\n") == 1, "the header"
    report = api.get(links["report"])
    assert report.status_code == 200 and "script" not in report.headers["Content-Security-Policy"].replace("scripts", "")
    assert api.get(f"{own}/report/../../x").status_code == 404


def test_one_audit_at_a_time(api: Caller) -> None:
    one = api.post(AUDITS).json
    second = api.post(AUDITS)
    assert (second.status_code, second.json["code"]) == (409, "audit_at_work")
    assert second.json["audit_id"] == one["id"] and second.json["audit"] == one["links"]["self"]
    assert api.post("/v1/datasets/places/audits").status_code == 202, "of another dataset"
    assert api.post(f"{AUDITS}/{one['id']}/cancel").json["state"] == "canceled"
    assert api.post(AUDITS).status_code == 202


def test_a_repeated_request_gets_the_audit_of_the_first(api: Caller, caller_for: Callable[[str], Caller]) -> None:
    once = {"headers": {"Idempotency-Key": '"a key"'}}
    first = api.post(AUDITS, **once)
    again = api.post(AUDITS, **once)
    assert (again.status_code, again.json["id"]) == (202, first.json["id"])
    assert again.headers["Idempotent-Replayed"] == "true" and "Idempotent-Replayed" not in first.headers
    other = api.post("/v1/datasets/places/audits", **once)
    assert (other.status_code, other.json["code"]) == (422, "idempotency_mismatch")
    assert caller_for("uploader").post(AUDITS, **once).status_code == 409, "another key's idempotency keys are its own"
    refused = {"headers": {"Idempotency-Key": "of a request that was refused"}}
    assert api.post(AUDITS, **refused).status_code == 409
    api.post(f"{AUDITS}/{first.json['id']}/cancel")
    assert api.post(AUDITS, **refused).status_code == 202, "it is not remembered"
    assert api.post(AUDITS, headers={"Idempotency-Key": "x" * 256}).status_code == 400
    uploaded = api.upload(b"id,parentId\na,\n", dataset="records", **once)
    assert (uploaded.status_code, uploaded.json["code"]) == (422, "idempotency_mismatch"), "nor an upload"


def test_audits_are_listed_newest_first(api: Caller, edges: AppContext) -> None:
    made = [an_ended(edges) for _ in range(5)]
    an_ended(edges, "places")
    seen: list[str] = []
    path = f"{AUDITS}?limit=2"
    while path:
        answer = api.get(path)
        seen += [one["id"] for one in answer.json["items"]]
        cursor = answer.json["next_cursor"]
        path = f"{AUDITS}?limit=2&cursor={cursor}" if cursor else ""
        assert ("Link" in answer.headers) is bool(cursor)
    assert seen == made[::-1]
    assert api.get(f"{AUDITS}?cursor=nothing").json["code"] == "unknown_audit"


def test_canceled(api: Caller, edges: AppContext) -> None:
    one = api.post(AUDITS).json
    edges.ledger.audits.take_up(one["id"], datetime.now(UTC))
    asked = api.post(f"{AUDITS}/{one['id']}/cancel")
    assert (asked.status_code, asked.json["state"], asked.json["cancel_requested"]) == (202, "running", True)
    assert api.post(f"{AUDITS}/{one['id']}/cancel").status_code == 202, "asking again changes nothing"
    edges.ledger.audits.end(one["id"], AuditState.CANCELED)
    late = api.post(f"{AUDITS}/{one['id']}/cancel")
    assert (late.status_code, late.json["code"]) == (409, "audit_ended")
    assert api.get(f"{AUDITS}/{one['id']}/errors").json == {"items": [], "next_cursor": None, "total": 0}
    assert api.get(f"{AUDITS}/{one['id']}/report/").json["code"] == "no_report"


def test_what_was_removed_is_said(api: Caller, edges: AppContext, store: Store, settings: Settings) -> None:
    audit_id = an_ended(edges)
    with psycopg.connect(settings.database_url) as connection:
        connection.execute("update ledger.audit set findings_errors = 1, report_removed_at = now() where id = %s", (audit_id,))
    for path in ("errors", "errors?format=csv", "errors/groups", "report/"):
        gone = api.get(f"{AUDITS}/{audit_id}/{path}")
        assert (gone.status_code, gone.json["code"], gone.json["setting"]) == (410, "no_longer_kept", "BULKHEAD_KEEP_AUDITS")
    assert api.get(f"{AUDITS}/{audit_id}").json["report_removed_at"] is not None


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/v1/datasets/nothing/audits", "unknown_dataset"),
        (f"{AUDITS}/nothing", "unknown_audit"),
        (f"{AUDITS}/{uuid.UUID(int=7)}", "unknown_audit"),
        (f"{AUDITS}/{uuid.UUID(int=7)}/errors", "unknown_audit"),
    ],
)
def test_what_is_not_there(api: Caller, path: str, code: str) -> None:
    assert (api.get(path).status_code, api.get(path).json["code"]) == (404, code)


def test_an_audit_of_another_dataset_is_not_found(api: Caller, edges: AppContext) -> None:
    assert api.get(f"{AUDITS}/{an_ended(edges, 'places')}").status_code == 404


def test_roles_and_scopes(api: Caller, app: Any, edges: AppContext, caller_for: Callable[[str], Caller]) -> None:
    reader = caller_for("reader")
    one = api.post(AUDITS).json
    assert reader.get(AUDITS).status_code == 200 and reader.get(f"{AUDITS}/{one['id']}").status_code == 200
    assert reader.post(AUDITS).status_code == 403 and reader.post(f"{AUDITS}/{one['id']}/cancel").status_code == 403
    stranger = Caller(app.test_client(), edges.keys.create("of places", Role.UPLOADER, ["places"])[0])
    for path in (AUDITS, f"{AUDITS}/{one['id']}", f"{AUDITS}/{one['id']}/errors", f"{AUDITS}/{one['id']}/report/"):
        assert (stranger.get(path).status_code, stranger.get(path).json["code"]) == (404, "unknown_dataset")
    assert stranger.post(AUDITS).status_code == stranger.post(f"{AUDITS}/{one['id']}/cancel").status_code == 404
    assert api.get(f"{AUDITS}/{one['id']}").json["cancel_requested"] is False


def test_a_dataset_without_a_table(api: Caller, settings: Settings) -> None:
    with psycopg.connect(settings.database_url) as connection:
        connection.execute("drop table warehouse.places cascade")
    refused = api.post("/v1/datasets/places/audits")
    assert (refused.status_code, refused.json["code"]) == (409, "no_table")
