"""The S3 edge, against moto in process: what goes in comes out, and what breaks off leaves nothing."""

from __future__ import annotations

import hashlib
import io
import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
import requests
from moto import mock_aws
from pytest_httpserver import HTTPServer
from werkzeug import Response

from pipeline.adapters.s3 import CHUNK_BYTES, NotThere, NotWhole, Part, Store
from pipeline.errors import FileReplaced, SystemFault, Unreachable
from tests.support.waiting import wait_until

PART_BYTES_MIN = 5 << 20
"""S3 takes no smaller part, but for the last."""


@pytest.fixture
def store() -> Iterator[Store]:
    with mock_aws():
        store = Store("bucket", access_key="k", secret_key="s")
        store.ensure_bucket()
        store.ensure_bucket()
        yield store


class Breaking(io.RawIOBase):
    """A stream that breaks off after some bytes, as a client that goes away does."""

    def __init__(self, size: int) -> None:
        self._left = size

    def read(self, size: int = -1, /) -> bytes:
        if self._left <= 0:
            raise ConnectionResetError("gone")
        self._left -= size
        return b"x" * size


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, 2 * CHUNK_BYTES + 7])
def test_a_stream_comes_back_byte_for_byte(store: Store, tmp_path: Path, size: int) -> None:
    data = bytes(range(256)) * (size // 256) + b"y" * (size % 256)
    stored = store.put_stream("k", io.BytesIO(data), metadata={"a": "b"})
    assert (stored.size_bytes, stored.sha256) == (size, hashlib.sha256(data).hexdigest())
    beats: list[int] = []
    got = store.get_file("k", tmp_path / "f", etag=stored.etag, beat=beats.append)
    assert (tmp_path / "f").read_bytes() == data
    assert (got.sha256, got.etag) == (stored.sha256, stored.etag)
    assert beats[-1:] == ([size] if size else [])


def test_a_disk_that_takes_a_little_at_a_time_gets_it_all(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, write = bytes(range(256)) * 4000, os.pwrite
    store.put_bytes("k", data)
    monkeypatch.setattr(os, "pwrite", lambda file, piece, at: write(file, piece[:1000], at))
    assert store.get_file("k", tmp_path / "f").sha256 == hashlib.sha256(data).hexdigest()
    assert (tmp_path / "f").read_bytes() == data


def test_a_range_that_comes_short_is_no_file(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store.put_bytes("k", b"x" * 1000)
    whole = store._range
    monkeypatch.setattr(store, "_range", lambda key, etag, first, last: whole(key, etag, first, last - 1))
    with pytest.raises(Unreachable, match="gave 999 bytes of k where it has 1,000"):
        store.get_file("k", tmp_path / "f")


def test_a_stream_that_breaks_leaves_no_object_and_no_open_upload(store: Store) -> None:
    with pytest.raises(ConnectionResetError):
        store.put_stream("k", Breaking(3 * CHUNK_BYTES))
    assert store.head("k") is None
    assert "Uploads" not in boto3.client("s3", region_name="us-east-1").list_multipart_uploads(Bucket="bucket")


def test_a_file_that_was_replaced_is_not_mistaken_for_the_one_announced(store: Store, tmp_path: Path) -> None:
    first = store.put_stream("k", io.BytesIO(b"first"))
    store.put_bytes("k", b"second")
    with pytest.raises(FileReplaced):
        store.get_file("k", tmp_path / "f", etag=first.etag)


def test_what_is_not_there_is_said_so(store: Store, tmp_path: Path) -> None:
    assert store.head("nothing") is None
    with pytest.raises(NotThere, match="nothing"):
        store.get_bytes("nothing")
    with pytest.raises(NotThere, match="nothing"):
        store.get_file("nothing", tmp_path / "f")
    store.delete("nothing")


def test_listing_and_deleting_go_by_prefix(store: Store) -> None:
    for key in ("a/1", "a/2", "b/1"):
        store.put_bytes(key, b"x")
    assert [one.key for one in store.list("a/")] == ["a/1", "a/2"]
    assert store.delete_prefix("a/") == 2
    assert [one.key for one in store.list("")] == ["b/1"]


def test_a_server_that_is_away_is_unreachable() -> None:
    away = Store("bucket", endpoint="http://127.0.0.1:1", access_key="k", secret_key="s")
    with pytest.raises(Unreachable, match="S3"):
        away.head("k")


@pytest.mark.parametrize(
    ("status", "code", "raised"),
    [
        *((500, "InternalError", Unreachable), (503, "SlowDown", Unreachable), (400, "RequestTimeout", Unreachable)),
        *((429, "TooManyRequests", Unreachable), (409, "OperationAborted", Unreachable), (403, "AccessDenied", SystemFault)),
        (404, "NoSuchBucket", SystemFault),
    ],
)
def test_what_s3_answers_an_upload_of_a_file_passes_or_does_not(
    httpserver: HTTPServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int, code: str, raised: type[Exception]
) -> None:
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda _: None)  # boto3 tries again by itself
    body = f"<Error><Code>{code}</Code><Message>no</Message></Error>"
    httpserver.expect_request(re.compile("/bucket/.*")).respond_with_data(body, status=status, content_type="application/xml")
    (tmp_path / "f").write_bytes(b"x")
    store = Store("bucket", endpoint=httpserver.url_for("").rstrip("/"), access_key="k", secret_key="s")
    for put in (
        lambda: store.put_file("k", tmp_path / "f"),
        lambda: store.put_files([("k", tmp_path / "f")], beat=lambda: None),
    ):
        with pytest.raises(raised, match=code) as told:
            put()
        assert "\n" not in str(told.value)


def test_an_answer_that_breaks_off_is_unreachable(httpserver: HTTPServer) -> None:
    headers = {"Content-Length": "1000", "ETag": '"e"', "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT"}
    httpserver.expect_request("/bucket/k").respond_with_handler(lambda _: Response(iter([b"half"]), headers=headers))
    store = Store("bucket", endpoint=httpserver.url_for("").rstrip("/"), access_key="k", secret_key="s")
    with pytest.raises(Unreachable):
        store.get_bytes("k")


def test_missing_credentials_are_said_to_be_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("boto3.DEFAULT_SESSION", None)
    with pytest.raises(SystemFault, match=r"credentials.*AWS_"):
        Store("bucket").head("k")


def test_a_download_and_an_upload_end_when_they_are_not_wanted_any_more(store: Store, tmp_path: Path) -> None:
    def stop(*_: object) -> None:
        raise InterruptedError("canceled")

    before = {*threading.enumerate()}
    store.put_bytes("k", b"x" * 1000)
    with pytest.raises(InterruptedError):
        store.get_file("k", tmp_path / "f", beat=stop)
    with pytest.raises(InterruptedError):
        store.put_files([(f"all/{number}", tmp_path / "f") for number in range(200)], beat=stop)
    under_way = {*threading.enumerate()} - before  # one that is only just starting cannot be joined yet
    wait_until(lambda: not under_way & {*threading.enumerate()}, 5)
    assert len([*store.list("all/")]) < 200


def _part(store: Store, upload_id: str, number: int, body: bytes) -> str:
    """PUT a part as one does who holds nothing but the address; its ETag."""
    put = requests.put(store.sign_part("in/a.csv", upload_id, number, seconds=3600), data=body, timeout=5)
    assert put.status_code == 200
    return put.headers["ETag"].strip('"')


def test_parts_sent_by_signed_addresses_become_an_object(store: Store) -> None:
    bodies = [b"a" * PART_BYTES_MIN, b"b"]
    upload_id = store.begin_upload("in/a.csv", metadata={"import-id": "1"})
    etags = [_part(store, upload_id, number, body) for number, body in enumerate(bodies, start=1)]
    assert store.parts("in/a.csv", upload_id) == [Part(n, len(bodies[n - 1]), etags[n - 1]) for n in (1, 2)]
    store.complete("in/a.csv", upload_id, list(enumerate(etags, start=1)))
    there = store.head("in/a.csv")
    assert there is not None
    assert there.metadata == {"import-id": "1"}
    assert store.get_bytes("in/a.csv") == b"".join(bodies)


@pytest.mark.parametrize("parts", [[(1, "0" * 32)], [(2, "0" * 32)]], ids=["wrong ETag", "no such part"])
def test_wrong_parts_make_no_object_and_the_upload_stays(store: Store, parts: list[tuple[int, str]]) -> None:
    upload_id = store.begin_upload("in/a.csv")
    etag = _part(store, upload_id, 1, b"a")
    with pytest.raises(NotWhole):
        store.complete("in/a.csv", upload_id, parts)
    assert store.head("in/a.csv") is None
    assert store.parts("in/a.csv", upload_id) == [Part(1, 1, etag)]


def test_an_aborted_upload_is_not_there(store: Store) -> None:
    upload_id = store.begin_upload("in/a.csv")
    [[upload]] = store.uploads("in/")
    store.abort(upload.key, upload.upload_id)
    with pytest.raises(NotThere):
        store.parts("in/a.csv", upload_id)


def test_a_signed_url_expires_after_the_given_seconds(store: Store) -> None:
    assert "X-Amz-Expires=3600" in store.sign_part("in/a.csv", "u", 7, seconds=3600)
    assert "partNumber=7" in store.sign_part("in/a.csv", "u", 7, seconds=3600)


def test_what_is_signed_is_signed_for_the_address_that_clients_reach() -> None:
    keys = {"access_key": "k", "secret_key": "s"}
    inner = Store("bucket", endpoint="http://s3:8333", **keys)
    outer = Store("bucket", endpoint="http://s3:8333", public_endpoint="https://files.example.org", **keys)
    cloud = Store("bucket", region="eu-central-1", **keys)
    assert inner.public_origin == "http://s3:8333"
    assert outer.public_origin == "https://files.example.org"
    assert outer.sign_part("a/b", "u", 7, seconds=60).startswith("https://files.example.org/bucket/a/b?")
    assert outer.sign_form("a/b", bytes_max=1, seconds=60)[0] == "https://files.example.org/bucket"
    assert cloud.public_origin == "https://bucket.s3.eu-central-1.amazonaws.com"


def test_without_credentials_nothing_is_signed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    assert Store("bucket", endpoint="http://s3:8333").public_origin == ""
