"""The relay's two halves without a server: the filer's words into S3's, and a delivery that is never forgotten."""

from __future__ import annotations

import base64
import http.client
import importlib
import json
import os
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pipeline.local import relay
from pipeline.local.relay import BODY_BYTES_MOST, EventQueue, Malformed, event_in, make_server, s3_event
from pipeline.telemetry.metric import Program
from tests.support.recording import recording, series


def posted(key: str, *, etag: str = "49f96038f20aa062772267b640a18d79", **entry: Any) -> dict[str, Any]:
    """What SeaweedFS 4.48 posts for an object, shortened to what matters."""
    return {
        "event_type": "create",
        "key": key,
        "message": {
            "new_entry": {
                "name": key.rpartition("/")[2],
                "chunks": [{"size": 3, "modified_ts_ns": 1795495098573731030}],
                "attributes": {"file_size": 3, "mtime": 1795495098, "md5": "SflgOPIKoGJ3Ime2QKGNeQ=="},
                "extended": {"Seaweed-X-Amz-ETag": base64.b64encode(etag.encode()).decode()},
                **entry,
            },
            "new_parent_path": key.rpartition("/")[0],
        },
    }


def test_a_finished_object_becomes_the_event_that_s3_would_send() -> None:
    event = s3_event(posted("/buckets/b/incoming/places/a b+é.csv"))
    assert event is not None
    (record,) = event["Records"]
    assert (record["eventVersion"], record["eventSource"]) == ("2.1", "aws:s3")
    assert record["eventName"] == "ObjectCreated:Put"
    assert record["eventTime"] == "2026-11-24T04:38:18.000Z"
    assert record["s3"]["bucket"] == {
        "name": "b",
        "ownerIdentity": {"principalId": "bulkhead"},
        "arn": "arn:aws:s3:::b",
    }
    assert record["s3"]["object"] == {
        "key": "incoming/places/a+b%2B%C3%A9.csv",
        "size": 3,
        "eTag": "49f96038f20aa062772267b640a18d79",
        "sequencer": f"{1795495098573731030:016X}",
    }


def test_a_multipart_upload_is_told_from_a_put() -> None:
    event = s3_event(posted("/buckets/b/incoming/places/a.csv", etag="d41d8cd98f00b204e9800998ecf8427e-3"))
    assert event is not None
    assert event["Records"][0]["eventName"] == "ObjectCreated:CompleteMultipartUpload"


def test_a_later_write_of_the_same_key_has_a_higher_sequencer() -> None:
    first, second = (
        s3_event(posted("/buckets/b/incoming/places/a.csv", chunks=[{"modified_ts_ns": 1795495098573731030 + later}]))
        for later in (0, 1)
    )
    assert first and second
    assert first["Records"][0]["s3"]["object"]["sequencer"] < second["Records"][0]["s3"]["object"]["sequencer"]


@pytest.mark.parametrize(
    "body",
    [
        posted("/buckets/b/incoming/places", is_directory=True),
        posted("/buckets/b/.uploads/1/0001_x.part"),
        posted("/buckets/b/batches/1/part-000001.parquet"),
        posted("/buckets/b/incoming/places/"),
        posted("/buckets/b/incoming/Bad Name/a.csv"),
        posted("/etc/iam/identity.json"),
        posted("/buckets/.system/logs/1"),
        {
            "event_type": "delete",
            "key": "/buckets/b/incoming/places/a.csv",
            "message": {"old_entry": {"name": "a.csv"}},
        },
        {},
    ],
)
def test_everything_else_that_is_written_means_nothing(body: dict[str, Any]) -> None:
    assert s3_event(body) is None


def s3_record(name: str, key: str) -> dict[str, Any]:
    return {"eventName": name, "s3": {"bucket": {"name": "b"}, "object": {"key": key, "size": 3}}}


@pytest.mark.parametrize("name", ["ObjectCreated:Put", "s3:ObjectCreated:CompleteMultipartUpload"])
def test_an_event_in_the_form_of_s3_is_handed_on(name: str) -> None:
    """As MinIO and Ceph post them, with keys encoded as in a URL."""
    wanted = s3_record(name, "incoming%2Fplaces%2Fa+b.csv")
    others = [
        s3_record("s3:ObjectRemoved:Delete", "incoming%2Fplaces%2Fa.csv"),
        s3_record("s3:ObjectCreated:Put", "batches%2F1%2Fpart-000001.parquet"),
    ]
    event = event_in(json.dumps({"EventName": name, "Key": "b/x", "Records": [*others, wanted]}).encode())
    assert event == {"Records": [{**wanted, "eventName": name.removeprefix("s3:")}]}
    handler = importlib.import_module("lambda.handler")
    assert [(one.bucket, one.key) for one in handler.requests_in(event)] == [("b", "incoming/places/a b.csv")]
    assert event_in(json.dumps({"Records": others}).encode()) is None
    assert event_in(b'{"Records": null}') is None


@pytest.mark.parametrize("records", ["x", [1], [{}], [s3_record("ObjectCreated:Put", "x") | {"s3": {}}]])
def test_records_of_another_form_are_malformed(records: Any) -> None:
    with pytest.raises(Malformed):
        event_in(json.dumps({"Records": records}).encode())


class Lambda:
    """A handler that fails a number of times."""

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures
        self.events: list[object] = []
        self.done = threading.Event()

    def __call__(self, event: dict[str, Any], context: object) -> None:
        self.events.append(event)
        if len(self.events) <= self.failures:
            raise ConnectionError("Temporal is away")
        self.done.set()


def wait_until_empty(folder: Path) -> None:
    for _ in range(500):
        if not list((folder / "spool").iterdir()):
            return
        time.sleep(0.01)
    raise AssertionError("the spool was not worked off")


def test_a_lambda_that_fails_twice_is_called_a_third_time(tmp_path: Path) -> None:
    called = Lambda(failures=2)
    with recording(Program.RELAY) as recorder:
        EventQueue(tmp_path, called, pauses_seconds=(0.01, 0.01)).accept({"n": 1})
        assert called.done.wait(5)
        wait_until_empty(tmp_path)
    assert series(recorder, "bulkhead_relay_deliveries_total") == {'result="failed"': 2, 'result="delivered"': 1}
    assert called.events == [{"n": 1}] * 3
    assert not list((tmp_path / "dead-letters").iterdir())


def test_a_lambda_that_fails_for_good_leaves_a_dead_letter(tmp_path: Path) -> None:
    with recording(Program.RELAY) as recorder:
        EventQueue(tmp_path, Lambda(failures=99), pauses_seconds=(0.01, 0.01)).accept({"n": 1})
        wait_until_empty(tmp_path)
    assert series(recorder, "bulkhead_relay_deliveries_total") == {'result="failed"': 2, 'result="dead_letter"': 1}
    (letter,) = (tmp_path / "dead-letters").iterdir()
    assert json.loads(letter.read_text()) == {"event": {"n": 1}, "error": "ConnectionError: Temporal is away"}


def test_what_was_accepted_before_the_relay_died_is_delivered_after(tmp_path: Path) -> None:
    (tmp_path / "spool").mkdir()
    (tmp_path / "spool" / "1-a.json").write_text(json.dumps({"n": 1}))
    called = Lambda()
    EventQueue(tmp_path, called)
    assert called.done.wait(5)
    wait_until_empty(tmp_path)
    assert called.events == [{"n": 1}]


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[1]", b"\xff\xfe", b"[" * 100_000], ids=["empty", "cut", "list", "bytes", "deep"]
)
def test_an_unreadable_file_in_the_spool_is_put_aside_and_ends_no_thread(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "spool").mkdir()
    for number in range(2 * relay.THREADS):  # more than there are threads
        (tmp_path / "spool" / f"0-{number}.json").write_bytes(content)
    (tmp_path / "spool" / "1-a.json").write_text(json.dumps({"n": 1}))
    called = Lambda()
    EventQueue(tmp_path, called)
    assert called.done.wait(5)
    wait_until_empty(tmp_path)
    assert called.events == [{"n": 1}]
    aside = sorted((tmp_path / "dead-letters").iterdir())
    assert [path.name for path in aside] == [f"0-{number}.unreadable" for number in range(2 * relay.THREADS)]
    assert aside[0].read_bytes() == content


def test_an_event_is_on_disk_before_it_is_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced, fsync = list[int](), os.fsync

    def note(descriptor: int) -> None:
        synced.append(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    hold = threading.Event()
    deliveries = EventQueue(tmp_path, lambda *_: hold.wait(5))
    monkeypatch.setattr(os, "fsync", note)
    deliveries.accept({"n": 1})
    (spooled,) = (tmp_path / "spool").iterdir()
    assert synced == [spooled.stat().st_ino, (tmp_path / "spool").stat().st_ino]
    hold.set()
    wait_until_empty(tmp_path)


def test_dead_letters_are_kept_for_a_time(tmp_path: Path) -> None:
    (tmp_path / "dead-letters").mkdir()
    old, young = tmp_path / "dead-letters" / "1-a.json", tmp_path / "dead-letters" / "2-b.json"
    for path, days in ((old, 31), (young, 29)):
        path.touch()
        os.utime(path, (time.time() - days * 86_400,) * 2)
    EventQueue(tmp_path, Lambda(), keep=timedelta(days=30))
    for _ in range(500):
        if not old.exists():
            break
        time.sleep(0.01)
    assert (old.exists(), young.exists()) == (False, True)


# --- Whatever is posted has an answer ---

TOKEN = "t"
GOOD = posted("/buckets/b/incoming/places/a.csv")


def times(**attributes: Any) -> bytes:
    """An event of a file with these attributes."""
    return json.dumps(posted("/buckets/b/incoming/places/a.csv", attributes=attributes)).encode()


MALFORMED = {
    "huge mtime": times(mtime=10**30),
    "huge negative mtime": times(mtime=-(10**30)),
    "infinite mtime": times(mtime=1).replace(b'"mtime": 1', b'"mtime": 1e999'),
    "mtime of 5,000 digits": times(mtime=1).replace(b'"mtime": 1', b'"mtime": ' + b"9" * 5_000),
    "mtime in words": times(mtime="yesterday"),
    "no size": times(file_size=[]),
    "100,000 brackets": b"[" * 100_000,
    "100,000 brackets inside": b'{"message": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "not UTF-8": b"\xff\xfe\xff",
    "no JSON": b"hello",
    "nothing": b"",
    "a list": b"[]",
    "a number": b"1",
    "a message that is a list": b'{"message": [1]}',
    "an entry that is a text": b'{"key": "/buckets/b/incoming/places/a.csv", "message": {"new_entry": "x"}}',
    "chunks that are none": json.dumps(posted("/buckets/b/incoming/places/a.csv", chunks=[1])).encode(),
    "an ETag that is no base64": json.dumps(
        posted("/buckets/b/incoming/places/a.csv", extended={"Seaweed-X-Amz-ETag": "A"})
    ).encode(),
    "an ETag that is no text": json.dumps(
        posted("/buckets/b/incoming/places/a.csv", extended={"Seaweed-X-Amz-ETag": "/w=="})
    ).encode(),
    "half a character": json.dumps(posted("/buckets/b/incoming/places/\ud800.csv")).encode(),
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_event_is_told_apart(body: bytes) -> None:
    with pytest.raises(Malformed):
        event_in(body)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[int, Lambda]]:
    """A relay's server, and the Lambda behind it."""
    called = Lambda()
    server = make_server(0, TOKEN, EventQueue(tmp_path, called))
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
    yield server.server_address[1], called
    server.shutdown()
    server.server_close()


def post(port: int, body: bytes, *, token: str = TOKEN, **headers: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("POST", "/filer", body, {"Authorization": f"Bearer {token}", **headers})
    status = connection.getresponse().status
    connection.close()
    return status


def test_whatever_is_posted_has_an_answer_and_the_relay_goes_on(served: tuple[int, Lambda]) -> None:
    port, called = served
    assert {name: post(port, body) for name, body in MALFORMED.items()} == dict.fromkeys(MALFORMED, 400)
    assert post(port, b"x" * (BODY_BYTES_MOST + 1)) == 413
    assert post(port, b"x" * (20 * BODY_BYTES_MOST)) == 413
    assert post(port, b"x" * (20 * BODY_BYTES_MOST), token="wrong") == 401
    assert post(port, b"{}", token="\xff") == 401
    assert [post(port, b"{}", **{"Content-Length": length}) for length in ("-1", "two", "9" * 30, "")] == [400] * 4
    assert post(port, b"{}") == 200
    assert called.events == []
    assert post(port, json.dumps(GOOD).encode()) == 200
    assert called.done.wait(5)
    assert called.events == [s3_event(GOOD) | {"Records": called.events[0]["Records"]}]  # type: ignore[index, operator]


def test_each_post_is_counted_by_what_became_of_it(served: tuple[int, Lambda]) -> None:
    port, _ = served
    with recording(Program.RELAY) as recorder:
        for body in (b"{", b"x" * (BODY_BYTES_MOST + 1), b"{}", json.dumps(GOOD).encode()):
            post(port, body)
        post(port, b"{}", token="wrong")
    found = {'result="malformed"': 2, 'result="ignored"': 1, 'result="accepted"': 1, 'result="refused"': 1}
    assert series(recorder, "bulkhead_relay_events_total") == found


def test_an_event_that_the_disk_does_not_take_is_not_accepted(tmp_path: Path) -> None:
    deliveries = EventQueue(tmp_path, Lambda())
    (tmp_path / "spool").rmdir()
    server = make_server(0, TOKEN, deliveries)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
    try:
        assert post(server.server_address[1], json.dumps(GOOD).encode()) == 503
    finally:
        server.shutdown()
        server.server_close()
