"""The Lambda: which events mean a new file, and which mean nothing."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest

from pipeline.contracts.messages import ObjectArrived
from pipeline.errors import Unreachable


def put(key: str, *, name: str = "ObjectCreated:Put", bucket: str = "b") -> dict[str, Any]:
    return {"eventName": name, "s3": {"bucket": {"name": bucket}, "object": {"key": key, "size": 3, "eTag": "e"}}}


@pytest.mark.parametrize(
    ("event", "keys"),
    [
        ({"Records": [put("incoming/places/a.csv")]}, ["incoming/places/a.csv"]),
        ({"Records": [put("incoming/places/a+b%2Bc%20%C3%A9.csv")]}, ["incoming/places/a b+c é.csv"]),
        (
            {"Records": [put("incoming/places/a.csv", name="ObjectCreated:CompleteMultipartUpload")]},
            ["incoming/places/a.csv"],
        ),
        (
            {"Records": [put("incoming/places/a.csv"), put("incoming/records/b.csv")]},
            ["incoming/places/a.csv", "incoming/records/b.csv"],
        ),
        ({"Records": [put("incoming/places/a.csv", name="ObjectRemoved:Delete")]}, []),
        ({"Records": [put("results/1/failed.csv")]}, []),
        ({"Records": [put("incoming/places/")]}, []),
        ({"Records": []}, []),
        ({"Records": None}, []),
        ({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "b"}, []),
        ({}, []),
        (
            {
                "detail-type": "Object Created",
                "detail": {"bucket": {"name": "b"}, "object": {"key": "incoming/places/a+b.csv"}},
            },
            ["incoming/places/a+b.csv"],
        ),
        (
            {
                "detail-type": "Object Deleted",
                "detail": {"bucket": {"name": "b"}, "object": {"key": "incoming/places/a.csv"}},
            },
            [],
        ),
    ],
)
def test_only_new_files_under_incoming_are_announced(handler: ModuleType, event: dict[str, Any], keys: list[str]) -> None:
    assert handler.requests_in(event) == [ObjectArrived("b", key) for key in keys]


def test_an_event_without_a_file_does_not_even_call_temporal(handler: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEMPORAL_ADDRESS", "127.0.0.1:1")
    assert handler.handle({"Event": "s3:TestEvent"}, None) == {"announced": 0}


def test_when_temporal_is_away_the_handler_raises_so_that_aws_tries_again(
    handler: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEMPORAL_ADDRESS", "127.0.0.1:1")
    with pytest.raises(Unreachable, match=r"127\.0\.0\.1:1"):
        handler.handle({"Records": [put("incoming/places/a.csv")]}, None)
