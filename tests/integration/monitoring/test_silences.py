"""A dataset whose files do not arrive: its recipients get one message, and one more when a file arrives."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import closing
from email import message_from_bytes
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from pipeline.adapters.s3 import Store
from pipeline.settings import Settings
from tests.support.bulkhead import Bulkhead
from tests.support.histories import Histories
from tests.support.waiting import wait_until
from tests.support.workers import running_worker


@pytest.fixture
def settings(settings: Settings, a_root: Path, httpserver: HTTPServer) -> Settings:
    """Files of places are expected every day; two recipients hear of it."""
    file = a_root / "expectations" / "places.json"
    suite = json.loads(file.read_text())
    suite["meta"]["expect_every"] = "1d"
    file.write_text(json.dumps(suite))
    changes: dict[str, Any] = {
        "datasets_root": a_root,
        "email_to": ("you@example.org",),
        "webhook_urls": (httpserver.url_for("/hook"),),
        "webhook_allow_private": True,
        "task_queue": f"silences-{uuid.uuid4().hex[:8]}",
    }
    return settings.model_copy(update=changes)


@pytest.fixture
def bulkhead(settings: Settings, store: Store) -> Iterator[Bulkhead]:
    with closing(Bulkhead(settings, store)) as one, running_worker(settings):
        yield one


def mails(settings: Settings) -> list[str]:
    """Return the subjects of the mails about silences."""
    found = [message_from_bytes(file.read_bytes())["Subject"] for file in settings.outbox_dir.glob("*.eml")]
    return sorted(subject for subject in found if "since" in subject or "again" in subject)


def let_pass(settings: Settings, days: int) -> None:
    """Have all that is in the ledger happen so many days earlier."""
    with psycopg.connect(settings.database_url) as connection:
        connection.execute("update ledger.import set created_at = created_at - make_interval(days => %s)", (days,))
        changed = (
            "watched_since = watched_since - make_interval(days => %s), silent_since = silent_since - make_interval(days => %s)"
        )
        connection.execute(f"update ledger.expected_arrival set {changed}", (days, days))  # type: ignore[call-overload]


def test_a_silence_and_its_end_are_one_message_each(
    bulkhead: Bulkhead, settings: Settings, httpserver: HTTPServer, histories: Histories
) -> None:
    posted: list[tuple[str, dict[str, Any]]] = []
    fails = iter((True,))

    def take(request: Request) -> Response:
        """Refuse the first attempt at all."""
        if next(fails, False):
            return Response(status=503, headers={"Retry-After": "1"})
        posted.append((request.headers["webhook-id"], json.loads(request.data)))
        return Response(status=204)

    httpserver.expect_request("/hook").respond_with_handler(take)
    orchestrator = bulkhead.orchestrator
    orchestrator.reconcile()  # the file is expected from now on
    assert mails(settings) == []
    let_pass(settings, 2)
    orchestrator.reconcile()
    wait_until(lambda: len(mails(settings)) == 1 and len(posted) == 1, 300.0)
    assert mails(settings)[0].startswith("No file of places since ")
    assert (posted[0][1]["type"], posted[0][1]["data"]["expect_every_seconds"]) == ("dataset.silent", 86400)
    let_pass(settings, 2)
    orchestrator.reconcile()
    one = bulkhead.ingest("id,parentId,name,kind\nFR,,France,Country\n", dataset="places")
    orchestrator.reconcile()
    about = ("dataset.silent", "dataset.resumed")
    wait_until(lambda: [body["type"] for _, body in posted if body["type"] in about] == list(about), 300.0)
    wait_until(lambda: len(mails(settings)) == 2, 300.0)
    assert mails(settings)[0] == "Files of places arrive again"
    (resumed,) = [body for _, body in posted if body["type"] == "dataset.resumed"]
    assert resumed["data"]["arrived_at"] == one.created_at.isoformat(timespec="seconds").replace("+00:00", "Z")
    orchestrator.reconcile()
    assert bulkhead.rows("select dataset, silent_since from ledger.expected_arrival") == [("places", None)]
    assert len({message_id for message_id, _ in posted}) == len(posted)
    histories.keep_ended(settings, "TellSilence", "silence_begun", id_ends="/begin")


def test_what_is_not_expected_any_more_is_forgotten(bulkhead: Bulkhead, settings: Settings) -> None:
    bulkhead.orchestrator.reconcile()
    assert bulkhead.rows("select dataset from ledger.expected_arrival") == [("places",)]
    file = settings.datasets_root / "expectations" / "places.json"
    file.write_text(file.read_text().replace('"expect_every": "1d"', '"expect_every": null'))
    let_pass(settings, 2)
    bulkhead.orchestrator.reconcile()
    assert bulkhead.rows("select dataset from ledger.expected_arrival") == []
    assert mails(settings) == []
