"""The relay's two halves without a server: the filer's words into S3's, and a delivery that is never forgotten."""

from __future__ import annotations

import base64
import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from pipeline.local.relay import Deliveries, s3_event


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
    Deliveries(tmp_path, called, pauses_seconds=(0.01, 0.01)).accept({"n": 1})
    assert called.done.wait(5)
    wait_until_empty(tmp_path)
    assert called.events == [{"n": 1}] * 3
    assert not list((tmp_path / "dead-letters").iterdir())


def test_a_lambda_that_fails_for_good_leaves_a_dead_letter(tmp_path: Path) -> None:
    Deliveries(tmp_path, Lambda(failures=99), pauses_seconds=(0.01, 0.01)).accept({"n": 1})
    wait_until_empty(tmp_path)
    (letter,) = (tmp_path / "dead-letters").iterdir()
    assert json.loads(letter.read_text()) == {"event": {"n": 1}, "error": "ConnectionError: Temporal is away"}


def test_what_was_accepted_before_the_relay_died_is_delivered_after(tmp_path: Path) -> None:
    (tmp_path / "spool").mkdir()
    (tmp_path / "spool" / "1-a.json").write_text(json.dumps({"n": 1}))
    called = Lambda()
    Deliveries(tmp_path, called)
    assert called.done.wait(5)
    wait_until_empty(tmp_path)
    assert called.events == [{"n": 1}]
