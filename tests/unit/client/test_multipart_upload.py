"""Uploads straight to S3: parts, retries with fresh signatures, going on after a break, and the way back through the server."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from pipeline.client import http, multipart_requests, multipart_upload, part_uploader, resume_state
from pipeline.client.api import ApiError, Client
from pipeline.client.resume_state import ResumeState
from pipeline.contracts.options import Options
from pipeline.errors import InvalidRequest, Unreachable

IMPORT_ID = "01990b3c-0000-7000-8000-000000000001"
KEY, UPLOAD_ID = f"incoming/records/{IMPORT_ID}/a.csv", "up/load"
PART = 1 << 20
CONTENT = b"".join(bytes([n]) * PART for n in range(9)) + b"the rest"


class Bucket:
    """Both sides of an upload in parts, the server's and S3's, as strict as they are; ``answers`` says how S3 misbehaves."""

    def __init__(self, httpserver: HTTPServer) -> None:
        self.parts: dict[int, bytes] = {}
        self.opened: list[dict[str, Any]] = []
        self.signed: Counter[int] = Counter()
        self.put: Counter[int] = Counter()
        self.answers: dict[int, list[int]] = {}
        self.whole: bytes | None = None
        self.is_gone = False
        self.through_server: list[bytes] = []
        self.at_once = self.most_at_once = 0
        self.s3 = httpserver.url_for("/bucket")
        self._lock = threading.Lock()
        for method, path, handler in (
            ("POST", "/s3/multipart", self._open),
            ("GET", f"/s3/multipart/{UPLOAD_ID}", self._list),
            ("POST", f"/s3/multipart/{UPLOAD_ID}/complete", self._complete),
            ("DELETE", f"/s3/multipart/{UPLOAD_ID}", self._abort),
            ("POST", "/v1/datasets/records/imports", self._through_server),
        ):
            httpserver.expect_request(path, method=method).respond_with_handler(handler)
        for number in range(1, 11):
            httpserver.expect_request(f"/s3/multipart/{UPLOAD_ID}/{number}").respond_with_handler(self._sign)
            httpserver.expect_request(f"/bucket/{number}", method="PUT").respond_with_handler(self._put)
        httpserver.expect_request("/", method="HEAD").respond_with_data(status=405)
        httpserver.expect_request(f"/v1/imports/{IMPORT_ID}").respond_with_json({"id": IMPORT_ID, "state": "queued"})

    def _open(self, request: Request) -> Response:
        self.opened.append(request.get_json())
        self.parts, self.is_gone = {}, False
        return _json({"key": KEY, "uploadId": UPLOAD_ID, "id": IMPORT_ID})

    def _list(self, request: Request) -> Response:
        if self.is_gone:
            return _json({"code": "unknown_upload", "detail": "S3 knows no such upload."}, 404)
        return _json([{"PartNumber": n, "Size": len(b), "ETag": _etag(b)} for n, b in sorted(self.parts.items())])

    def _sign(self, request: Request) -> Response:
        assert request.args["key"] == KEY
        number = int(request.path.rpartition("/")[2])
        self.signed[number] += 1
        return _json({"url": f"{self.s3}/{number}?signature={self.signed[number]}", "expires": 3600})

    def _put(self, request: Request) -> Response:
        assert "Authorization" not in request.headers, "S3 must not see the API key"
        number = int(request.path.rpartition("/")[2])
        assert int(request.args["signature"]) == self.signed[number], "each attempt is signed afresh"
        with self._lock:
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        body = request.get_data()
        assert base64.b64decode(request.headers["Content-MD5"]) == hashlib.md5(body).digest()
        status = (self.answers.get(number) or [200]).pop(0)
        time.sleep(0.02)
        with self._lock:
            self.at_once -= 1
            self.put[number] += 1
        if status != 200:
            return Response("<Error><Code>SlowDown</Code></Error>", status)
        self.parts[number] = body
        return Response("", headers={"ETag": _etag(body)})

    def _complete(self, request: Request) -> Response:
        named = [(part["PartNumber"], part["ETag"]) for part in request.get_json()["parts"]]
        if self.whole is None:
            if self.is_gone:
                return _json({"code": "unknown_upload", "detail": "S3 knows no such upload."}, 404)
            assert named == [(n, _etag(b)) for n, b in sorted(self.parts.items())]
            self.whole = b"".join(body for _, body in sorted(self.parts.items()))
        return _json({"id": IMPORT_ID})

    def _abort(self, request: Request) -> Response:
        self.is_gone = True
        return _json({})

    def _through_server(self, request: Request) -> Response:
        self.through_server.append(request.get_data())
        return _json({"id": IMPORT_ID, "args": request.args.to_dict()}, 202)


def _json(value: Any, status: int = 200) -> Response:
    return Response(json.dumps(value), status, content_type="application/json")


def _etag(body: bytes) -> str:
    return f'"{hashlib.md5(body).hexdigest()}"'


@pytest.fixture(autouse=True)
def small_parts_and_no_pauses(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(multipart_upload, "PART_BYTES", PART)
    monkeypatch.setattr(http, "pause", lambda state: 0.0)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def httpserver() -> Iterator[HTTPServer]:
    """One that answers several at once."""
    with HTTPServer(threaded=True) as server:
        yield server


@pytest.fixture
def bucket(httpserver: HTTPServer) -> Bucket:
    return Bucket(httpserver)


@pytest.fixture
def client(httpserver: HTTPServer) -> Client:
    return Client(httpserver.url_for(""), "bk_secret")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "a.csv"
    file.write_bytes(CONTENT)
    return file


@pytest.fixture
def told() -> Iterator[list[str]]:
    yield []


def broken_off(bucket: Bucket, client: Client, file: Path, **more: Any) -> ResumeState:
    """An upload that S3 refused one part of, for good."""
    bucket.answers[8] = [400] * part_uploader.REFUSALS
    with pytest.raises(ApiError, match="S3 refuses part 8: 400 SlowDown"):
        client.upload(file, "records", direct=True, **more)
    left = resume_state.find(client.url, "records", file)
    assert left is not None
    bucket.put.clear()
    return left


# --- the straight way ---


def test_all_parts_go_once_and_make_the_file(bucket: Bucket, client: Client, file: Path) -> None:
    sent: list[tuple[int, int | None]] = []
    made = client.upload(file, "records", direct=True, on_sent=lambda done, total: sent.append((done, total)))
    assert (made["id"], bucket.whole) == (IMPORT_ID, CONTENT)
    assert bucket.put == dict.fromkeys(range(1, 11), 1)
    assert 1 < bucket.most_at_once <= part_uploader.PARTS_AT_ONCE
    assert sent[0] == (0, len(CONTENT)) and sent[-1] == (len(CONTENT), len(CONTENT))
    assert [done for done, _ in sent] == sorted(done for done, _ in sent)
    assert bucket.through_server == []
    assert resume_state.find(client.url, "records", file) is None


def test_the_same_is_asked_for_either_way(bucket: Bucket, client: Client, file: Path) -> None:
    options = Options(True, None, 5, 0.25, True, delimiter=";")
    through = client.upload(file, "records", direct=False, options=options, filename="b.csv")["args"]
    client.upload(file, "records", direct=True, options=options, filename="b.csv")
    [opened] = bucket.opened
    metadata = opened["metadata"]
    assert (metadata.pop("dataset"), metadata.pop("size"), opened["filename"]) == ("records", len(CONTENT), "b.csv")
    assert (through.pop("filename"), through) == ("b.csv", {n: str(v).replace("True", "true") for n, v in metadata.items()})


@pytest.mark.parametrize(
    ("size", "goes_straight"), [(multipart_upload.FROM_BYTES, True), (multipart_upload.FROM_BYTES - 1, False)]
)
def test_the_way_is_chosen_by_size(
    bucket: Bucket, client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, goes_straight: bool
) -> None:
    monkeypatch.setattr(multipart_upload, "PART_BYTES", 8 << 20)
    with (tmp_path / "large.csv").open("wb") as stream:
        stream.truncate(size)
    client.upload(str(tmp_path / "large.csv"), "records")
    assert (bucket.whole is not None, bucket.through_server == []) == (goes_straight, goes_straight)


@pytest.mark.parametrize(
    ("size", "expected"),
    [(1, 8 << 20), (80_000 << 20, 8 << 20), ((80_000 << 20) + 1, (8 << 20) + 1), (5 << 40, -(-(5 << 40) // 10_000))],
)
def test_no_file_has_more_parts_than_s3_takes(monkeypatch: pytest.MonkeyPatch, size: int, expected: int) -> None:
    monkeypatch.setattr(multipart_upload, "PART_BYTES", 8 << 20)
    assert multipart_upload.part_bytes(size) == expected
    assert size <= multipart_upload.part_bytes(size) * multipart_upload.PARTS_MAX


def test_a_part_that_fails_is_sent_again_with_a_fresh_signature(bucket: Bucket, client: Client, file: Path) -> None:
    bucket.answers = {2: [503] * 5, 3: [403], 10: [500, 429]}
    client.upload(file, "records", direct=True)
    assert bucket.whole == CONTENT
    assert (bucket.put[2], bucket.put[3], bucket.put[10], bucket.put.total()) == (6, 2, 3, 18)


def test_a_connection_to_s3_that_breaks_is_tried_again(bucket: Bucket, client: Client, file: Path) -> None:
    with HangUp(times=3) as hung_up:
        real, signed, broken = bucket.s3.removesuffix("/bucket"), multipart_requests.presign, (4, 5, 6)

        def sign(api: Any, upload: ResumeState, number: int) -> str:
            address = signed(api, upload, number)
            return address.replace(real, hung_up.url) if number in broken and bucket.signed[number] == 1 else address

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(multipart_requests, "presign", sign)
            client.upload(file, "records", direct=True)
    assert (bucket.whole, hung_up.connections) == (CONTENT, 3)


def test_s3_that_is_down_is_given_up_in_the_end_and_the_upload_kept(bucket: Bucket, client: Client, file: Path) -> None:
    bucket.answers = {1: [503] * part_uploader.ATTEMPTS}
    with pytest.raises(ApiError, match="S3 refuses part 1: 503"):
        client.upload(file, "records", direct=True)
    assert bucket.put[1] == part_uploader.ATTEMPTS
    assert resume_state.find(client.url, "records", file) is not None


def test_a_file_that_changes_on_the_way_makes_no_import(bucket: Bucket, client: Client, file: Path) -> None:
    def touch(done: int, total: int | None) -> None:
        os.utime(file, ns=(0, 5))

    with pytest.raises(InvalidRequest, match="has changed since its upload was started"):
        client.upload(file, "records", direct=True, on_sent=touch)
    assert (bucket.whole, bucket.is_gone) == (None, True)
    assert resume_state.find(client.url, "records", file) is None


# --- going on ---


def test_only_what_s3_does_not_have_is_sent(bucket: Bucket, client: Client, file: Path) -> None:
    broken_off(bucket, client, file)
    there = set(bucket.parts)
    assert 0 < len(there) < 10
    sent: list[int] = []
    client.upload(file, "records", resume=True, on_sent=lambda done, total: sent.append(done))
    assert bucket.whole == CONTENT
    assert set(bucket.put) == set(range(1, 11)) - there
    assert sent[0] == sum(len(bucket.parts[number]) for number in there)
    assert len(bucket.opened) == 1
    assert resume_state.find(client.url, "records", file) is None


def test_half_a_part_is_not_taken_for_one(bucket: Bucket, client: Client, file: Path) -> None:
    broken_off(bucket, client, file)
    bucket.parts[1] = b"half"
    client.upload(file, "records", resume=True)
    assert (bucket.whole, bucket.put[1]) == (CONTENT, 1)


@pytest.mark.parametrize("change", ["content", "touched"])
def test_a_file_that_has_changed_is_refused(bucket: Bucket, client: Client, file: Path, change: str) -> None:
    broken_off(bucket, client, file)
    if change == "content":
        file.write_bytes(CONTENT + b"more")
    else:
        os.utime(file, ns=(0, 5))
    with pytest.raises(
        InvalidRequest, match=r"a\.csv has changed .* then 9,437,192 bytes, written at .*, now .*without --resume"
    ):
        client.upload(file, "records", resume=True)
    assert bucket.put.total() == 0


def test_a_wish_cannot_change_on_the_way(bucket: Bucket, client: Client, file: Path) -> None:
    broken_off(bucket, client, file, options=Options(dry_run=True))
    with pytest.raises(InvalidRequest, match="started with dry_run=True"):
        client.upload(file, "records", resume=True, options=Options(force=True))
    assert bucket.put.total() == 0
    client.upload(file, "records", resume=True, options=Options(dry_run=True))
    assert bucket.whole == CONTENT


def test_what_had_come_but_for_the_answer_is_not_sent_again(bucket: Bucket, client: Client, file: Path) -> None:
    broken_off(bucket, client, file)
    bucket.is_gone, bucket.whole = True, CONTENT
    assert client.upload(file, "records", resume=True)["id"] == IMPORT_ID
    assert bucket.put.total() == 0


def test_what_has_expired_begins_anew_and_says_so(bucket: Bucket, client: Client, file: Path, told: list[str]) -> None:
    broken_off(bucket, client, file)
    bucket.is_gone = True
    client.upload(file, "records", resume=True, tell=told.append)
    assert (bucket.whole, len(bucket.opened)) == (CONTENT, 2)
    assert told == ["The interrupted upload cannot be resumed: S3 knows no such upload. Starting again."]


def test_without_resume_it_begins_anew_and_says_so(bucket: Bucket, client: Client, file: Path, told: list[str]) -> None:
    broken_off(bucket, client, file)
    client.upload(file, "records", direct=True, tell=told.append)
    assert (bucket.put.total(), bucket.whole) == (10, CONTENT)
    assert "--resume continues it" in told[0]


def test_what_is_kept_names_no_key_and_is_apart_for_each_server_dataset_and_file(
    bucket: Bucket, client: Client, file: Path, tmp_path: Path
) -> None:
    left = broken_off(bucket, client, file)
    [kept] = (tmp_path / "state" / "bulkhead" / "uploads").iterdir()
    assert "bk_secret" not in kept.read_text()
    assert resume_state.find(client.url, "places", file) is None
    assert resume_state.find("http://elsewhere", "records", file) is None
    assert resume_state.find(client.url, "records", tmp_path / "b.csv") is None
    kept.write_text("{")
    assert resume_state.find(client.url, "records", file) is None
    resume_state.keep(left)
    os.utime(kept, (0, 0))
    other = ResumeState(**{**vars(left), "dataset": "places"})
    resume_state.keep(other)
    assert resume_state.find(client.url, "records", file) is None, "what is a month old is let go of"


# --- through the server instead ---


def test_a_server_that_does_not_sign(httpserver: HTTPServer, client: Client, file: Path, told: list[str]) -> None:
    httpserver.expect_request("/v1/datasets/records/imports").respond_with_json({"id": IMPORT_ID}, 202)
    httpserver.expect_request("/s3/multipart").respond_with_json({"code": "not_found"}, 404)
    assert client.upload(file, "records", direct=True, tell=told.append) == {"id": IMPORT_ID}
    assert told == [f"{client.url} does not offer uploads straight to S3. The file is sent through the server instead."]


def test_s3_that_cannot_be_reached_from_here(bucket: Bucket, client: Client, file: Path, told: list[str]) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        bucket.s3 = f"http://127.0.0.1:{closed.getsockname()[1]}/bucket"
    client.upload(file, "records", direct=True, tell=told.append)
    assert (bucket.through_server, bucket.is_gone, bucket.put.total()) == ([CONTENT], True, 0)
    assert told[0].startswith("S3 cannot be reached from here at 127.0.0.1:")
    assert resume_state.find(client.url, "records", file) is None


def test_a_refusal_is_no_reason_for_another_way(httpserver: HTTPServer, client: Client, file: Path) -> None:
    httpserver.expect_request("/s3/multipart").respond_with_json({"code": "unknown_dataset", "detail": "No."}, 404)
    with pytest.raises(ApiError, match="No"):
        client.upload(file, "records", direct=True)


def test_a_server_that_is_away_is_unreachable(file: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
    with pytest.raises(Unreachable, match="bulkhead up"):
        Client(url).upload(file, "records", direct=True)


class HangUp:
    """Takes connections, reads a little, and hangs up."""

    def __init__(self, times: int) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.connections = 0
        self._thread = threading.Thread(target=self._serve, args=[times], daemon=True)

    def _serve(self, times: int) -> None:
        for _ in range(times):
            connection, _ = self._socket.accept()
            with connection:
                connection.recv(1 << 10)
                self.connections += 1

    def __enter__(self) -> HangUp:
        self._thread.start()
        return self

    def __exit__(self, *reason: object) -> None:
        self._thread.join(10)
        self._socket.close()
