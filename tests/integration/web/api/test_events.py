"""An import watched live: what a stream says, when it ends, and that streams leave room for other requests."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg
import pytest
import requests

from pipeline.contracts.states import State
from pipeline.settings import Settings
from web.api import events
from web.app_context import STREAMS_AT_ONCE, AppContext

CSV = b"id,parentId,name,kind\nFR,,France,Country\n"


@pytest.fixture
def loading(edges: AppContext) -> str:
    """An import of 4,000 records that has just begun to load."""
    import_id = str(uuid.uuid4())
    edges.ledger.imports.open(
        import_id, dataset="places", filename="<b>\n\ndata: x.csv", bucket="b", key="k", state=State.QUEUED
    )
    edges.ledger.imports.move(import_id, State.VALIDATING)
    edges.ledger.imports.move(import_id, State.PREPARING, records_total=4000, records_valid=4000, parts_total=2)
    edges.ledger.imports.move(import_id, State.LOADING)
    return import_id


def load_part(settings: Settings, import_id: str, part_no: int) -> None:
    with psycopg.connect(settings.database_url) as connection:
        connection.execute("insert into ledger.part values (%s, %s, 2000, 1500, 300, 199, 1)", (import_id, part_no))


def told(chunks: Iterator[bytes]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The (id, data) of each event, as EventSource takes a stream apart."""
    buffer = ""
    for chunk in chunks:
        buffer += chunk.decode()
        while "\n\n" in buffer:
            block, buffer = buffer.split("\n\n", 1)
            fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
            if "data" in fields:
                yield fields["id"], json.loads(fields["data"])


def whole(answer: Any) -> bytes:
    """All of a stream, to its end; its place is free then."""
    with closing(answer):
        content: bytes = answer.get_data()
    return content


def test_an_import_is_watched_to_its_end(api: Any, edges: AppContext, settings: Settings, loading: str) -> None:
    answer = api.get(f"/v1/imports/{loading}/events")
    assert (answer.status_code, answer.content_type) == (200, "text/event-stream")
    assert answer.headers["Cache-Control"] == "no-store"
    seen = told(answer.iter_encoded())
    _, first = next(seen)
    assert first["progress"]["records_per_second"] in (None, 0)  # of nothing follows nothing
    texts = first["progress"].pop("text")
    assert (texts["records"], texts["parts"], texts["left"]) == ("0 of 4,000 records", "0 of 2 parts", "4,000")
    assert {**first["progress"], "records_per_second": None} == {
        **{"phase": "load", "records": {"total": 4000, "done": 0}, "parts": {"total": 2, "done": 0}},
        **{"records_per_second": None, "seconds_left": None},
    }
    assert {key: value for key, value in first.items() if key != "progress"} == api.get(f"/v1/imports/{loading}").json
    assert first["source"]["filename"] == "<b>\n\ndata: x.csv"  # it broke no event in two
    load_part(settings, loading, 1)
    second = next(data for _, data in seen if data["progress"]["parts"]["done"])
    assert second["counts"]["inserted"] == 1500
    assert second["progress"]["text"]["counts"]["inserted"] == "1,500"
    assert re.fullmatch("[0-9,]+ records a second, about .+ left", second["progress"]["text"]["pace"])
    assert 500 < second["progress"]["records_per_second"] < 2100
    assert second["progress"]["seconds_left"] == pytest.approx(2000 / second["progress"]["records_per_second"], abs=0.06)
    load_part(settings, loading, 2)
    edges.ledger.imports.move(loading, State.PARTIALLY_SUCCEEDED)
    last_id, last = [*seen][-1]  # it ends by itself
    assert (last["state"], last["progress"]["phase"]) == ("partially_succeeded", "done")
    assert last["progress"]["records"] == {"total": 4000, "done": 4000}
    again = api.get(f"/v1/imports/{loading}/events", headers={"Last-Event-ID": last_id})
    assert (again.status_code, again.data) == (204, b"")  # which tells EventSource to stop
    other = api.get(f"/v1/imports/{loading}/events", headers={"Last-Event-ID": "1-1-0123456789abcdef"})
    assert [data["state"] for _, data in told(iter([whole(other)]))] == ["partially_succeeded"]


def test_a_stream_is_short_and_the_next_goes_on(
    api: Any, settings: Settings, loading: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "STREAM_SECONDS", 2.0)
    monkeypatch.setattr(events, "BEAT_SECONDS", 0.5)
    path = f"/v1/imports/{loading}/events"
    first = whole(api.get(path))
    assert first.startswith(b"retry: ")
    assert b": still here\n\n" in first
    last_id = [event_id for event_id, _ in told(iter([first]))][-1]
    resumed = whole(api.get(path, headers={"Last-Event-ID": last_id}))
    ((_, changed),) = told(iter([resumed])) if b"data:" in resumed else ((None, None),)
    assert changed is None or changed["progress"]["records_per_second"] == 0  # nothing that was told is told again
    load_part(settings, loading, 1)
    _, now = next(told(iter([whole(api.get(path, headers={"Last-Event-ID": last_id}))])))
    assert now["progress"]["records_per_second"] > 100  # from what was seen before the stream broke off


def test_any_last_event_id_does_no_harm(api: Any, edges: AppContext, loading: str) -> None:
    edges.ledger.imports.move(loading, State.FAILED)
    for wrong in ("x", "1", "9" * 14 + "-1-" + "0" * 16, "1-" + "9" * 30 + "-" + "0" * 16, "é", "-" * 5000):
        answer = api.get(f"/v1/imports/{loading}/events", headers={"Last-Event-ID": wrong})
        assert [data["state"] for _, data in told(iter([whole(answer)]))] == ["failed"]


def test_there_are_only_so_many_and_a_place_is_free_again(api: Any, edges: AppContext, loading: str) -> None:
    path = f"/v1/imports/{loading}/events"
    open_ones = [api.get(path) for _ in range(STREAMS_AT_ONCE)]
    full = api.get(path)
    assert (full.status_code, full.json["code"], full.headers["Retry-After"]) == (503, "busy", "5")
    assert api.get(f"/v1/imports/{loading}").status_code == 200
    for one in open_ones:
        one.close()
    api("HEAD", path).close()
    edges.ledger.imports.move(loading, State.FAILED)
    for _ in range(STREAMS_AT_ONCE + 2):
        assert b"failed" in whole(api.get(path))
    assert edges.streams._value == STREAMS_AT_ONCE


def test_streams_leave_room_and_no_request_waits_for_them(server: Any, edges: AppContext, loading: str) -> None:
    """Behind gunicorn: all streams taken, the rest works; readers that go free their places; and it stops at once."""
    path = f"{server.url}/v1/imports/{loading}/events"
    taken = []
    for _ in range(8 * STREAMS_AT_ONCE):  # two processes share the connections as they like
        answer = requests.get(path, headers=server.headers, stream=True, timeout=10)
        taken.append(answer)
        if answer.status_code == 503:
            break
    assert {answer.status_code for answer in taken} == {200, 503}
    upload = f"{server.url}/v1/datasets/places/imports?filename=a.csv"
    began = time.monotonic()
    done = [requests.post(upload, data=CSV, headers=server.headers, timeout=10).status_code for _ in range(5)]
    assert done == [202] * 5
    assert time.monotonic() - began < 20, "long before a stream ends"
    for answer in taken:
        answer.close()
    deadline = time.monotonic() + 30
    lasting = requests.get(path, headers=server.headers, stream=True, timeout=10)
    while lasting.status_code == 503 and time.monotonic() < deadline:
        time.sleep(0.2)
        lasting = requests.get(path, headers=server.headers, stream=True, timeout=10)
    assert lasting.status_code == 200
    reader = threading.Thread(target=lambda: [*lasting.iter_content(1)])
    reader.start()
    os.kill(server.pid, signal.SIGTERM)
    reader.join(timeout=20)  # gunicorn itself would end it after 30
    assert not reader.is_alive()
