"""Uploads through the API: what gets in, what does not, and that the latter leaves nothing behind."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import signal
import socket
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import psycopg
import pytest
import requests

from pipeline.adapters.s3 import Store
from pipeline.contracts.states import State
from pipeline.receive import upload as uploads
from pipeline.receive.reconciliation import Reconciler
from pipeline.receive.upload import LEASE_SECONDS, Intake
from pipeline.settings import Settings
from tests.support.waiting import wait_until
from tests.support.workers import running_worker
from web.app_context import AppContext

CSV = b"id,parentId,name,kind\nFR,,France,Country\nFR-75,FR,Paris,Metropolitan department\n"


@pytest.fixture
def nothing_left(store: Store, settings: Settings) -> Callable[[], None]:
    """Asserts that no object, no multipart upload, no row in the ledger and no Idempotency-Key is there."""

    def check() -> None:
        assert [*store.list("")] == []
        assert store._s3.list_multipart_uploads(Bucket=store.bucket).get("Uploads", []) == []
        with psycopg.connect(settings.database_url) as connection:
            for table in ("ledger.import", "ledger.move", "access.idempotency"):
                assert connection.execute(f"select count(*) from {table}").fetchone() == (0,), table

    return check


# --- what gets in ---


def test_a_bare_body_is_stored_and_acknowledged(api: Any, store: Store, edges: AppContext) -> None:
    answer = api.upload(CSV, filename="places.csv")
    assert answer.status_code == 202
    made = answer.json
    assert answer.headers["Location"] == made["links"]["self"] == f"http://localhost/v1/imports/{made['id']}"
    assert uuid.UUID(made["id"]).version == 7
    assert made["state"] == "queued"
    assert made["source"] == {
        "filename": "places.csv",
        "size_bytes": len(CSV),
        "sha256": hashlib.sha256(CSV).hexdigest(),
        "key": f"incoming/places/{made['id']}/places.csv",
    }
    assert store.get_bytes(made["source"]["key"]) == CSV
    assert [move.to_state for move in edges.ledger.imports.moves(made["id"])] == ["awaiting_upload", "queued"]
    assert edges.ledger.imports.get(made["id"]).created_by == edges.keys.list()[0].id


def test_a_form_is_stored_the_same(api: Any, store: Store) -> None:
    form = {"note": "hello", "file": (BytesIO(CSV), "places.csv"), "submit": "Upload"}
    answer = api.post("/v1/datasets/places/imports", data=form, content_type="multipart/form-data")
    assert answer.status_code == 202
    assert store.get_bytes(answer.json["source"]["key"]) == CSV
    assert answer.json["source"]["filename"] == "places.csv"


@pytest.mark.parametrize("ending", [b"", b"\r", b"\n", b"\r\n", b"\r\n--", b"\r\n\r\n--not-the-boundary\r\n"])
def test_a_form_changes_no_byte(api: Any, store: Store, ending: bytes) -> None:
    content = b"id,parentId,name\n" + b"a,,\x00\xff\r\n" * 70_000 + ending
    form = {"file": (BytesIO(content), "odd.csv")}
    made = api.post("/v1/datasets/places/imports", data=form, content_type="multipart/form-data").json
    assert made["source"]["sha256"] == hashlib.sha256(content).hexdigest()
    assert store.get_bytes(made["source"]["key"]) == content


def test_more_than_one_chunk_of_s3(api: Any, store: Store) -> None:
    content = b"id,parentId,name,kind\n" + b"x" * (20 << 20)
    made = api.upload(content).json
    assert made["source"]["size_bytes"] == len(content)
    assert hashlib.sha256(store.get_bytes(made["source"]["key"])).hexdigest() == made["source"]["sha256"]


@pytest.mark.parametrize(
    ("headers", "query", "label", "in_key"),
    [
        ({}, "?filename=a%20b.csv", "a b.csv", "a_b.csv"),
        ({}, "?filename=..%2F..%2Fetc%2Fpasswd", "passwd", "passwd"),
        ({}, "?filename=C:%5Cdata%5CSt%C3%A4dte%20%C3%BC.csv.gz", "Städte ü.csv.gz", "Stadte_u.csv.gz"),
        ({}, "?filename=%3Cscript%3Ealert(1)%3C%2Fscript%3E.csv", "script>.csv", "script_.csv"),
        ({}, "?filename=%E2%80%AEfdp.csv%0A%00", "fdp.csv", "fdp.csv"),
        ({}, "?filename=" + "x" * 400 + ".csv", "x" * 255, "x" * 100),
        ({}, "?filename=%E6%96%87", "文", "upload"),
        ({"X-Filename": "x.ndjson"}, "", "x.ndjson", "x.ndjson"),
        ({"Content-Disposition": 'attachment; filename="d.json"'}, "", "d.json", "d.json"),
        ({"Content-Type": "text/csv"}, "", "upload.csv", "upload.csv"),
        ({"Content-Type": "application/x-www-form-urlencoded"}, "", "upload", "upload"),
    ],
)
def test_names(api: Any, headers: dict[str, str], query: str, label: str, in_key: str) -> None:
    source = api.post(f"/v1/datasets/records/imports{query}", data=CSV, headers=headers).json["source"]
    assert source["filename"] == label
    assert source["key"].rpartition("/")[2] == in_key


def test_a_digest_that_fits(api: Any) -> None:
    digest = base64.b64encode(hashlib.sha256(CSV).digest()).decode()
    assert api.upload(CSV, headers={"Content-Digest": f"sha-512=:AA==:, sha-256=:{digest}:"}).status_code == 202


# --- what does not ---


@pytest.mark.parametrize(
    ("path", "options", "status", "code"),
    [
        ("/v1/datasets/nowhere/imports", {"data": CSV}, 404, "unknown_dataset"),
        ("/v1/datasets/..%2Fplaces/imports", {"data": CSV}, 404, "unknown_dataset"),
        ("/v1/datasets/places/imports", {"data": b""}, 400, "empty_file"),
        ("/v1/datasets/places/imports", {}, 400, "empty_file"),
        ("/v1/datasets/places/imports?file=x.csv", {"data": CSV}, 422, "invalid_parameter"),
        (
            "/v1/datasets/places/imports",
            {"data": CSV, "headers": {"Content-Digest": f"sha-256=:{base64.b64encode(bytes(32)).decode()}:"}},
            400,
            "damaged_upload",
        ),
        (
            "/v1/datasets/places/imports",
            {"data": CSV, "headers": {"Content-Digest": "sha-256=:AAAA:"}},
            400,
            "bad_request",
        ),
        ("/v1/datasets/places/imports", {"data": CSV, "headers": {"Idempotency-Key": "k" * 300}}, 400, "bad_request"),
    ],
)
def test_refused_bodies(
    api: Any, nothing_left: Callable[[], None], path: str, options: dict[str, Any], status: int, code: str
) -> None:
    _assert_problem(api.post(path, **options), status, code)
    nothing_left()


BOUNDARY = "multipart/form-data; boundary=B"


def _part(name: str, content: bytes, filename: str | None = None) -> bytes:
    file = f'; filename="{filename}"' if filename is not None else ""
    return f'--B\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'.encode() + content + b"\r\n"


@pytest.mark.parametrize(
    ("body", "content_type", "code"),
    [
        (_part("note", b"x") + b"--B--\r\n", BOUNDARY, "no_file"),
        (b"--B--\r\n", BOUNDARY, "no_file"),
        (_part("file", b"", "") + b"--B--\r\n", BOUNDARY, "empty_file"),
        (_part("file", b"", "a.csv") + b"--B--\r\n", BOUNDARY, "empty_file"),
        (_part("a", CSV, "a.csv") + _part("b", CSV, "b.csv") + b"--B--\r\n", BOUNDARY, "two_files"),
        (_part("a", CSV * 400_000, "a.csv") + _part("b", b"", "b.csv") + b"--B--\r\n", BOUNDARY, "two_files"),
        (_part("file", CSV, "a.csv"), BOUNDARY, "broken_upload"),
        (_part("file", CSV, "a.csv") + b"--B\r\nContent-Dispo", BOUNDARY, "broken_upload"),
        (b"--B\r\nX: y\r\n\r\nz\r\n--B--\r\n", BOUNDARY, "not_a_form"),
        (b"--B\r\n" + b"x" * 600_000, BOUNDARY, "not_a_form"),
        (b"x" * 600_000, BOUNDARY, "not_a_form"),
        (_part("note", b"x" * 100_000) + _part("file", CSV, "a.csv") + b"--B--\r\n", BOUNDARY, "not_a_form"),
        (b"".join(_part(f"f{i}", b"x") for i in range(60)) + b"--B--\r\n", BOUNDARY, "not_a_form"),
        (_part("file", CSV, "a.csv") + b"--B--\r\n", "multipart/form-data", "not_a_form"),
    ],
)
def test_refused_forms(api: Any, nothing_left: Callable[[], None], body: bytes, content_type: str, code: str) -> None:
    answer = api.post("/v1/datasets/places/imports", data=body, headers={"Content-Type": content_type})
    _assert_problem(answer, 400, code)
    nothing_left()


def test_a_file_field_left_empty_beside_the_file_does_no_harm(api: Any) -> None:
    body = _part("file", CSV, "a.csv") + _part("other", b"", "") + b"--B--\r\n"
    assert api.post("/v1/datasets/places/imports", data=body, headers={"Content-Type": BOUNDARY}).status_code == 202


def test_too_large(settings: Settings, nothing_left: Callable[[], None], api: Any, edges: AppContext) -> None:
    object.__setattr__(edges, "settings", settings.model_copy(update={"max_upload_bytes": 100}))
    _assert_problem(api.upload(b"x" * 101), 413, "too_large")
    form = {"file": (BytesIO(b"x" * 101), "a.csv")}
    answer = api.post("/v1/datasets/places/imports", data=form, content_type="multipart/form-data")
    _assert_problem(answer, 413, "too_large")
    nothing_left()
    assert api.upload(b"x" * 100).status_code == 202


def test_as_many_as_there_are_places(api: Any, edges: AppContext, nothing_left: Callable[[], None]) -> None:
    while edges.uploads.acquire(blocking=False):
        pass
    answer = api.upload(CSV)
    _assert_problem(answer, 503, "busy")
    assert answer.headers["Retry-After"]
    nothing_left()
    edges.uploads.release()
    assert api.upload(CSV).status_code == 202


def test_s3_away(
    settings: Settings, edges: AppContext, api: Any, nothing_left: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    away = Store(settings.bucket, endpoint="http://127.0.0.1:9", access_key="a", secret_key="b")
    object.__setattr__(edges, "store", away)
    answer = api.upload(CSV, headers={"Idempotency-Key": "again"})
    _assert_problem(answer, 503, "unreachable")
    assert "127.0.0.1" not in answer.text
    nothing_left()


def test_canceled_while_it_was_uploaded(api: Any, edges: AppContext, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    put_stream = store.put_stream

    def cancel_then_put(key: str, stream: Any, **options: Any) -> Any:
        edges.ledger.imports.move(key.split("/")[2], State.CANCELED)
        return put_stream(key, stream, **options)

    monkeypatch.setattr(edges.store, "put_stream", cancel_then_put)
    _assert_problem(api.upload(CSV), 409, "canceled_meanwhile")
    assert [*store.list("")] == []


# --- once and no more ---


def test_the_same_key_gives_the_same_import(api: Any, edges: AppContext) -> None:
    first = api.upload(CSV, headers={"Idempotency-Key": "k1"})
    again = api.upload(CSV, headers={"Idempotency-Key": '"k1"'})
    assert first.status_code == again.status_code == 202
    assert again.json["id"] == first.json["id"]
    assert again.headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first.headers
    assert len(edges.ledger.imports.page()) == 1
    assert api.upload(CSV, headers={"Idempotency-Key": "k2"}).json["id"] != first.json["id"]
    assert api.upload(CSV).json["id"] != first.json["id"]


def test_another_upload_under_the_same_key(api: Any, caller_for: Callable[[str], Any]) -> None:
    once = {"Idempotency-Key": "k"}
    first = api.upload(CSV, headers=once).json["id"]
    _assert_problem(api.upload(CSV + b"x", headers=once), 422, "idempotency_mismatch")
    _assert_problem(api.upload(CSV[::-1], headers=once), 422, "idempotency_mismatch")  # the same length
    _assert_problem(api.upload(CSV, filename="other.csv", headers=once), 422, "idempotency_mismatch")
    _assert_problem(api.upload(CSV, dataset="records", headers=once), 422, "idempotency_mismatch")
    assert caller_for("uploader").upload(CSV, headers=once).json["id"] != first  # somebody else's key is another key


def test_the_first_is_still_under_way(api: Any, edges: AppContext, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = []
    put_stream = edges.store.put_stream

    def ask_again_then_put(key: str, stream: Any, **options: Any) -> Any:
        monkeypatch.undo()
        answers.append(api.upload(CSV, headers={"Idempotency-Key": "k"}))
        return put_stream(key, stream, **options)

    monkeypatch.setattr(edges.store, "put_stream", ask_again_then_put)
    assert api.upload(CSV, headers={"Idempotency-Key": "k"}).status_code == 202
    _assert_problem(answers[0], 409, "upload_in_flight")
    assert answers[0].headers["Retry-After"]


def test_an_upload_that_expired_may_be_repeated(api: Any, edges: AppContext, settings: Settings) -> None:
    first = api.upload(CSV, headers={"Idempotency-Key": "k"}).json["id"]
    with psycopg.connect(settings.database_url) as connection:
        connection.execute("update ledger.import set state = 'expired'")
    again = api.upload(CSV, headers={"Idempotency-Key": "k"})
    assert again.status_code == 202
    assert again.json["id"] != first
    assert "Idempotent-Replayed" not in again.headers


def test_of_ten_at_once_one_is_made(api: Any, edges: AppContext, app: Any) -> None:
    def send(_: int) -> int:
        client = app.test_client()
        headers = {"Authorization": f"Bearer {api.key}", "Idempotency-Key": "k"}
        return int(client.post("/v1/datasets/places/imports", data=CSV, headers=headers).status_code)

    with ThreadPoolExecutor(5) as pool:
        statuses = [*pool.map(send, range(10))]
    assert set(statuses) <= {202, 409}
    assert len(edges.ledger.imports.page()) == 1


# --- an upload's process may die ---


def _lapse(edges: AppContext, seconds: float) -> None:
    """Let so much time pass for leases."""
    with edges.engine.begin() as connection:
        connection.exec_driver_sql(f"update ledger.import set upload_until = upload_until - interval '{seconds} seconds'")


def _expired(edges: AppContext, settings: Settings) -> int:
    reconciler = Reconciler(settings, edges.store, edges.ledger, edges.temporal)
    return reconciler.reconcile(beat=lambda _: None).expired


@pytest.mark.parametrize("ending", ["reconciliation", "the same request"])
def test_an_upload_whose_web_process_was_killed_is_given_up_soon(
    settings: Settings, edges: AppContext, serve: Callable[[Settings], Any], ending: str
) -> None:
    server = serve(settings)
    lines = ["POST /v1/datasets/places/imports?filename=a.csv HTTP/1.1", "Host: x", f"Authorization: Bearer {server.key}"]
    body = CSV.ljust(1 << 20, b"\n")
    lines += [f"Content-Length: {len(body)}", "Idempotency-Key: k", "", ""]
    with socket.create_connection(server.address, timeout=300) as connection:
        connection.sendall("\r\n".join(lines).encode() + body[: 1 << 19])
        wait_until(lambda: bool(edges.ledger.imports.page()))
        (dead,) = edges.ledger.imports.page()
        assert dead.state is State.AWAITING_UPLOAD
        for pid in (server.pid, *_children(server.pid)):
            os.kill(pid, signal.SIGKILL)
    assert _expired(edges, settings) == 0, "the lease has not lapsed"
    again = serve(settings)
    headers = {**again.headers, "Authorization": f"Bearer {server.key}", "Idempotency-Key": "k"}
    url = f"{again.url}/v1/datasets/places/imports?filename=a.csv"
    answer = requests.post(url, data=body, headers=headers, timeout=300)
    assert (answer.status_code, answer.json()["code"]) == (409, "upload_in_flight")
    _lapse(edges, LEASE_SECONDS)
    if ending == "reconciliation":
        assert _expired(edges, settings) == 1
    answer = requests.post(url, data=body, headers=headers, timeout=300)
    assert answer.status_code == 202
    assert edges.ledger.imports.known(dead.id).state is State.EXPIRED
    assert answer.json()["id"] != dead.id


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_a_slow_upload_is_not_given_up_while_its_process_lives(
    api: Any, edges: AppContext, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "LEASE_SECONDS", 1.0)
    monkeypatch.setattr(uploads, "RENEW_SECONDS", 0.1)
    put_stream, expired = edges.store.put_stream, list[int]()

    def put_slowly(key: str, stream: Any, **options: Any) -> Any:
        deadline = time.monotonic() + 2.0
        while time.monotonic() < deadline:
            expired.append(_expired(edges, settings))
        return put_stream(key, stream, **options)

    monkeypatch.setattr(edges.store, "put_stream", put_slowly)
    assert api.upload(CSV).status_code == 202
    assert set(expired) == {0}


@pytest.mark.parametrize("size", [1, 9 << 20], ids=["one request to S3", "several"])
def test_a_process_that_wakes_after_its_lease_imports_nothing(
    api: Any, edges: AppContext, settings: Settings, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    put_stream = edges.store.put_stream

    def sleep_then_put(key: str, stream: Any, **options: Any) -> Any:
        _lapse(edges, LEASE_SECONDS)
        assert _expired(edges, settings) == 1
        return put_stream(key, stream, **options)

    monkeypatch.setattr(edges.store, "put_stream", sleep_then_put)
    _assert_problem(api.upload(CSV + b"x" * size), 409, "upload_over")
    assert [one.state for one in edges.ledger.imports.page()] == [State.EXPIRED]
    assert [*edges.store.list("")] == []


def test_a_file_that_is_whole_is_imported_though_its_process_died_before_it_said_so(
    api: Any, edges: AppContext, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: Any, **__: Any) -> None:
        raise SystemExit("killed")

    with monkeypatch.context() as patched:
        patched.setattr(edges.ledger.uploads, "complete", die)
        patched.setattr(Intake, "_has_begun", die)  # nothing is put right either
        with pytest.raises(SystemExit):
            api.upload(CSV, headers={"Idempotency-Key": "k"})
    _lapse(edges, LEASE_SECONDS)
    _assert_problem(api.upload(CSV, headers={"Idempotency-Key": "k"}), 409, "upload_in_flight")
    assert _expired(edges, settings) == 0
    with running_worker(settings):
        wait_until(lambda: edges.ledger.imports.page()[0].state.is_final, seconds=600.0)
    assert [one.state for one in edges.ledger.imports.page()] == [State.SUCCEEDED]
    assert api.upload(CSV, headers={"Idempotency-Key": "k"}).json["id"] == edges.ledger.imports.page()[0].id


# --- behind gunicorn: what a body can do on a socket ---


def _request(server: Any, *, headers: dict[str, str], body: bytes, then: str) -> bytes:
    """Send a request by hand, then ``close`` the connection, or ``shut`` only our half of it; what is answered."""
    lines = [
        "POST /v1/datasets/places/imports?filename=a.csv HTTP/1.1",
        "Host: x",
        f"Authorization: Bearer {server.key}",
    ]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    with socket.create_connection(server.address, timeout=300) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode() + body)
        if then == "close":
            return b""
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
        return answer


def _problem_in(answer: bytes) -> dict[str, Any]:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"application/problem+json" in head
    document: dict[str, Any] = json.loads(body)
    return document


def test_bodies_that_stop_half_way(server: Any, nothing_left: Callable[[], None], edges: AppContext) -> None:
    big = b"x" * (10 << 20)  # more than one chunk of S3, so that a multipart upload has begun
    for body, length in ((CSV, len(CSV) + 1), (b"", 10), (big, len(big) + 5)):
        answer = _request(server, headers={"Content-Length": str(length), "Idempotency-Key": "k"}, body=body, then="shut")
        problem = _problem_in(answer)
        assert problem["code"] == "broken_upload"
        nothing_left()
    for body in (b"5\r\nid,na\r\n", b"5\r\nid", b"zz\r\nid", hex(len(big))[2:].encode() + b"\r\n" + big):
        answer = _request(server, headers={"Transfer-Encoding": "chunked"}, body=body, then="shut")
        assert _problem_in(answer)["code"] == "broken_upload"
        nothing_left()
    _request(server, headers={"Content-Length": str(len(big) * 2)}, body=big, then="close")
    deadline = time.monotonic() + 15
    while edges.ledger.imports.page() and time.monotonic() < deadline:
        time.sleep(0.1)
    nothing_left()


def test_chunked_bodies_and_expectations(server: Any, store: Store) -> None:
    url = f"{server.url}/v1/datasets/places/imports"
    answer = requests.post(url, data=iter([CSV[:10], CSV[10:]]), headers=server.headers, timeout=300)
    assert answer.status_code == 202
    assert store.get_bytes(answer.json()["source"]["key"]) == CSV
    answer = requests.post(url, data=iter([]), headers=server.headers, timeout=300)
    assert (answer.status_code, answer.json()["code"]) == (400, "empty_file")
    answer = requests.post(url, files={"file": ("a.csv", CSV)}, headers=server.headers, timeout=300)
    assert answer.json()["source"]["sha256"] == hashlib.sha256(CSV).hexdigest()


def test_a_refused_client_gets_the_reason_even_while_it_sends(server: Any, nothing_left: Callable[[], None]) -> None:
    body = bytes(30 << 20)
    answer = requests.post(f"{server.url}/v1/datasets/places/imports", data=body, timeout=300)
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
    answer = requests.post(f"{server.url}/v1/datasets/no/imports", data=body, headers=server.headers, timeout=300)
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_dataset")
    nothing_left()


def _assert_problem(answer: Any, status: int, code: str) -> None:
    assert (answer.status_code, answer.json["code"]) == (status, code), answer.text
    assert answer.content_type == "application/problem+json"
    assert answer.json["status"] == status
    assert len(answer.json["detail"]) > 20
    assert answer.json["request_id"] == answer.headers["X-Request-Id"]
    assert "Traceback" not in answer.text
