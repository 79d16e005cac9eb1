"""Uploads by the client straight into S3, through the routes that Uppy's client uses."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

from pipeline.contracts.messages import ObjectArrived
from pipeline.contracts.states import State
from pipeline.ledger.api_keys import Role
from pipeline.receive.reconciliation import Reconciler
from pipeline.settings import Settings
from tests.support.waiting import wait_until
from tests.support.workers import running_worker
from web.app_context import AppContext

MIB = 1 << 20
FIRST = b"id,parentId,name\n" + b"".join(b"r%d,,n\n" % i for i in range(800_000))
FIRST, SECOND = FIRST[: 5 * MIB], FIRST[5 * MIB :]


def open_upload(api: Any, **metadata: Any) -> dict[str, Any]:
    answer = api.post(
        "/s3/multipart",
        json={
            "filename": "my file.csv",
            "type": "text/csv",
            "metadata": {"dataset": "records", "name": "my file.csv", **metadata},
        },
    )
    assert answer.status_code == 200, answer.text
    opened: dict[str, Any] = answer.json
    return opened


def at(opened: dict[str, Any], rest: str = "", **query: Any) -> str:
    more = "".join(f"&{name}={value}" for name, value in query.items())
    return f"/s3/multipart/{opened['uploadId']}{rest}?key={opened['key']}{more}"


def send(api: Any, opened: dict[str, Any], number: int, body: bytes) -> dict[str, Any]:
    signed = api.get(at(opened, f"/{number}")).json
    assert signed["expires"] >= 3600
    answer = requests.put(signed["url"], data=body, timeout=300)
    assert answer.status_code == 200, answer.text
    return {"PartNumber": number, "ETag": answer.headers["ETag"]}


def nothing_is_left(edges: AppContext, opened: dict[str, Any]) -> None:
    assert edges.store.head(opened["key"]) is None
    assert [*edges.store.uploads(opened["key"])] == []
    assert edges.ledger.imports.get(opened["id"]) is None


def test_a_file_in_parts_becomes_an_import(api: Any, edges: AppContext, settings: Settings) -> None:
    opened = open_upload(api, force="true")
    assert opened["key"] == f"incoming/records/{opened['id']}/my_file.csv"
    awaited = api.get(f"/v1/imports/{opened['id']}").json
    assert (awaited["state"], awaited["source"]["filename"], awaited["options"]["force"]) == (
        "awaiting_upload",
        "my file.csv",
        True,
    )
    second = send(api, opened, 2, SECOND)
    assert [part["PartNumber"] for part in api.get(at(opened)).json] == [2], "what a client that comes back goes on from"
    parts = [send(api, opened, 1, FIRST), second]
    assert api.get(at(opened)).json == [{**part, "Size": len(body)} for part, body in zip(parts, (FIRST, SECOND), strict=True)]
    whole = api.post(at(opened, "/complete"), json={"parts": parts})
    assert (whole.status_code, whole.json["id"]) == (200, opened["id"])
    assert whole.json["location"] == whole.json["links"]["self"] == opened["links"]["self"]
    again = api.post(at(opened, "/complete"), json={"parts": parts})
    assert (again.status_code, again.json) == (200, whole.json)
    edges.temporal.announce(ObjectArrived(edges.store.bucket, opened["key"], opened["id"]))
    with running_worker(settings):
        wait_until(lambda: edges.ledger.imports.known(opened["id"]).state.is_final, seconds=600.0)
    one = edges.ledger.imports.known(opened["id"])
    assert (one.state, one.records_total, one.size_bytes) == (State.SUCCEEDED, 800_000, len(FIRST) + len(SECOND))
    assert len(one.sha256) == 64
    assert api.post(at(opened, "/complete"), json={"parts": parts}).status_code == 200


def test_several_parts_are_signed_at_once(api: Any) -> None:
    opened = open_upload(api)
    signed = api.get(at(opened, "/batch", partNumbers="1,2")).json["presignedUrls"]
    assert requests.put(signed["2"], data=b"x", timeout=10).status_code == 200
    assert [part["PartNumber"] for part in api.get(at(opened)).json] == [2]
    assert api.get(at(opened, "/batch", partNumbers="1,x")).json["code"] == "invalid_parameter"
    assert api.get(at(opened, "/0")).status_code in (404, 422)
    assert api.get(at(opened, "/10001")).json["code"] == "invalid_parameter"


def test_an_upload_that_is_given_up_leaves_nothing(api: Any, edges: AppContext) -> None:
    opened = open_upload(api)
    part = send(api, opened, 1, b"x")
    assert api("DELETE", at(opened)).json == {}
    nothing_is_left(edges, opened)
    for answer in (
        api.get(at(opened)),
        api.get(at(opened, "/1")),
        api.post(at(opened, "/complete"), json={"parts": [part]}),
        api("DELETE", at(opened)),
    ):
        assert (answer.status_code, answer.json["code"]) == (404, "unknown_upload")


@pytest.mark.parametrize("case", ["wrong ETag", "not there", "none"])
def test_wrong_parts_can_be_mended(api: Any, edges: AppContext, case: str) -> None:
    opened = open_upload(api)
    part = send(api, opened, 1, b"id,parentId\n1,\n")
    wrong = {"wrong ETag": [{**part, "ETag": '"0"'}], "not there": [part, {**part, "PartNumber": 2}], "none": []}[case]
    answer = api.post(at(opened, "/complete"), json={"parts": wrong})
    assert (answer.status_code, answer.json["code"]) == (409, "wrong_parts")
    assert edges.ledger.imports.known(opened["id"]).state is State.AWAITING_UPLOAD
    assert api.post(at(opened, "/complete"), json={"parts": [part]}).status_code == 200
    assert edges.ledger.imports.known(opened["id"]).state is State.QUEUED


def test_completing_again_after_a_lost_answer_is_the_same(api: Any, edges: AppContext) -> None:
    opened = open_upload(api)
    part = send(api, opened, 1, b"id,parentId\n1,\n")
    edges.store.complete(opened["key"], opened["uploadId"], [(1, part["ETag"].strip('"'))])  # and then the web app was killed
    answer = api.post(at(opened, "/complete"), json={"parts": [part]})
    assert (answer.status_code, answer.json["id"]) == (200, opened["id"])
    one = edges.ledger.imports.known(opened["id"])
    assert (one.state, one.size_bytes) == (State.QUEUED, 15)


def test_an_empty_file_is_refused(api: Any) -> None:
    opened = open_upload(api)
    answer = api.post(at(opened, "/complete"), json={"parts": [send(api, opened, 1, b"")]})
    assert (answer.status_code, answer.json["code"]) in ((400, "empty_file"), (409, "wrong_parts"))


def test_what_is_too_large_leaves_nothing(api: Any, edges: AppContext, app: Any) -> None:
    opened = open_upload(api)
    part = send(api, opened, 1, b"x" * 2_000)
    limited = edges.settings.model_copy(update={"max_upload_bytes": 1_000})
    object.__setattr__(edges, "settings", limited)
    answer = api.post(at(opened, "/complete"), json={"parts": [part]})
    assert (answer.status_code, answer.json["code"]) == (413, "too_large")
    nothing_is_left(edges, opened)


def test_an_upload_is_its_makers(api: Any, caller_for: Callable[[Role], Any], edges: AppContext) -> None:
    mine, theirs, admin = caller_for(Role.UPLOADER), caller_for(Role.UPLOADER), caller_for(Role.ADMIN)
    opened = open_upload(mine)
    part = send(mine, opened, 1, b"id,parentId\n1,\n")
    for answer in (
        theirs.get(at(opened)),
        theirs.get(at(opened, "/1")),
        theirs.get(at(opened, "/batch", partNumbers="1")),
        theirs.post(at(opened, "/complete"), json={"parts": [part]}),
        theirs("DELETE", at(opened)),
    ):
        assert (answer.status_code, answer.json["code"]) == (404, "unknown_upload")
    assert edges.ledger.imports.known(opened["id"]).state is State.AWAITING_UPLOAD
    assert admin.post(at(opened, "/complete"), json={"parts": [part]}).status_code == 200


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"filename": "a.csv", "metadata": {"dataset": "nonsense"}}, "unknown_dataset"),
        ({"filename": "a.csv", "metadata": {}}, "unknown_dataset"),
        ({"filename": "a.csv", "metadata": {"dataset": "records", "on_error": "shrug"}}, "invalid_parameter"),
        ({"metadata": {"dataset": "records"}}, "invalid_parameter"),
    ],
)
def test_what_cannot_be_opened_leaves_nothing(api: Any, edges: AppContext, body: dict[str, Any], code: str) -> None:
    assert api.post("/s3/multipart", json=body).json["code"] == code
    assert edges.ledger.imports.page(limit=5) == []


@pytest.mark.parametrize("key", ["nonsense", "incoming/records/01990b3c-0000-7000-8000-000000000001/a.csv", "reports/x"])
def test_a_key_of_no_upload(api: Any, key: str) -> None:
    answer = api.get(f"/s3/multipart/x?key={key}")
    assert (answer.status_code, answer.json["code"]) == (404, "unknown_upload")


def test_a_canceled_import_takes_no_parts(api: Any) -> None:
    opened = open_upload(api)
    assert api.post(f"/v1/imports/{opened['id']}/cancel").status_code == 202
    assert api.get(at(opened, "/1")).json["code"] == "canceled_meanwhile"


def test_a_small_file_goes_by_a_form(api: Any, edges: AppContext) -> None:
    signed = api.get("/s3/params?filename=a.csv&type=text/csv&metadata[dataset]=records").json
    assert signed["method"] == "POST"
    files = {"file": ("a.csv", b"id,parentId\n1,\n")}
    assert requests.post(signed["url"], data=signed["fields"], files=files, timeout=10).status_code in (200, 201, 204)
    stored = edges.store.head(edges.ledger.imports.known(signed["id"]).key)
    assert stored is not None and stored.size_bytes == 15


def test_a_complete_file_without_an_event_is_announced_and_never_given_up(
    api: Any, edges: AppContext, settings: Settings
) -> None:
    """S3 has taken the form, and its event was lost."""
    signed = api.get("/s3/params?filename=a.csv&type=text/csv&metadata[dataset]=records").json
    requests.post(signed["url"], data=signed["fields"], files={"file": ("a.csv", b"id,parentId\n1,\n")}, timeout=10)
    key = edges.ledger.imports.known(signed["id"]).key
    reconciler = Reconciler(settings, edges.store, edges.ledger, edges.temporal)
    found = reconciler.reconcile(beat=lambda _: None, now=datetime.now(UTC) + timedelta(days=30))
    assert (found.started, found.keys, found.expired) == (1, (key,), 0)
    assert edges.ledger.imports.known(signed["id"]).state is State.AWAITING_UPLOAD
    with running_worker(settings):
        wait_until(lambda: edges.ledger.imports.known(signed["id"]).state is State.SUCCEEDED)


def test_an_upload_that_is_given_up_while_it_is_made_whole_leaves_nothing(
    api: Any, edges: AppContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = open_upload(api)
    part = send(api, opened, 1, b"id,parentId\n1,\n")
    complete = edges.store.complete

    def beside_us(*given: Any) -> None:
        complete(*given)
        edges.ledger.uploads.discard(opened["id"])

    monkeypatch.setattr(edges.store, "complete", beside_us)
    answer = api.post(at(opened, "/complete"), json={"parts": [part]})
    assert (answer.status_code, answer.json["code"]) == (404, "unknown_upload")
    nothing_is_left(edges, opened)


def test_a_number_of_a_part_that_is_none_is_refused(api: Any) -> None:
    answer = api.get(at(open_upload(api), "/batch", partNumbers="9" * 4500))
    assert (answer.status_code, answer.json["code"]) == (422, "invalid_parameter")


def test_an_upload_that_still_grows_does_not_expire(api: Any, edges: AppContext, settings: Settings) -> None:
    living, dead = open_upload(api), open_upload(api)
    send(api, living, 1, b"x")
    with edges.engine.begin() as connection:
        connection.exec_driver_sql("update ledger.import set created_at = created_at - interval '3 hours'")
    patient = settings.model_copy(update={"keep_uploads": timedelta(hours=2)})
    reconciler = Reconciler(patient, edges.store, edges.ledger, edges.temporal)
    edges.store.abort(dead["key"], dead["uploadId"])
    assert reconciler.reconcile(beat=lambda _: None).expired == 1
    assert edges.ledger.imports.known(living["id"]).state is State.AWAITING_UPLOAD
    assert edges.ledger.imports.known(dead["id"]).state is State.EXPIRED
    assert api.get(at(dead)).json["code"] == "upload_over"


def test_an_import_does_not_expire_before_its_form(api: Any, edges: AppContext, settings: Settings) -> None:
    brief = settings.model_copy(update={"keep_uploads": timedelta(minutes=10)})
    object.__setattr__(edges, "settings", brief)
    signed = api.get("/s3/params?filename=a.csv&type=text/csv&metadata[dataset]=records").json
    opened = open_upload(api)
    reconciler = Reconciler(brief, edges.store, edges.ledger, edges.temporal)

    def expired_after(minutes: int) -> set[str]:
        with edges.engine.begin() as connection:
            connection.exec_driver_sql(
                f"update ledger.import set created_at = now() - interval '{minutes} minutes',"
                f" upload_until = upload_until - (created_at - (now() - interval '{minutes} minutes'))"
            )
        edges.store.abort(opened["key"], opened["uploadId"])
        reconciler.reconcile(beat=lambda _: None)
        return {one.id for one in edges.ledger.imports.page(state="expired")}

    assert expired_after(9) == set()
    assert expired_after(11) == {opened["id"]}
    assert expired_after(signed["expires"] // 60 + 10) == {opened["id"]}, "S3 takes the form for so long"
    assert expired_after(signed["expires"] // 60 + 16) == {opened["id"], signed["id"]}


def test_the_metadata_of_a_form_is_signed(api: Any, edges: AppContext) -> None:
    """Who has the form cannot make a dry run something else."""
    for change in ({}, {"x-amz-meta-import": "e30="}, {"x-amz-meta-import-id": "01990b3c-0000-7000-8000-000000000001"}):
        signed = api.get("/s3/params?filename=a.csv&metadata[dataset]=records&metadata[dry_run]=true").json
        fields = {**signed["fields"], **change}
        answer = requests.post(signed["url"], data=fields, files={"file": ("a.csv", b"id,parentId\n1,\n")}, timeout=10)
        assert answer.ok == (not change), answer.text


def test_a_request_without_a_key_gets_401_and_no_redirect_to_a_page(app: Any) -> None:
    answer = app.test_client().get("/s3/multipart/x?key=y")
    assert (answer.status_code, answer.json["code"]) == (401, "unauthorized")
