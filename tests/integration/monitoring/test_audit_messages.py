"""A scheduled audit that finds errors is one message to each recipient, and one more when an audit finds none any more."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import closing
from email import message_from_bytes
from typing import Any

import psycopg
import pytest
from pytest_httpserver import HTTPServer
from standardwebhooks.webhooks import Webhook
from werkzeug import Request, Response

from pipeline.adapters.s3 import Store
from pipeline.adapters.temporal import TemporalClient
from pipeline.contracts.audits import AuditRef, AuditState
from pipeline.ledger.audits import AuditMessage
from pipeline.ledger.ledger import Ledger
from pipeline.monitoring.audit_results import AuditResults
from pipeline.settings import Settings
from tests.support.bulkhead import Bulkhead
from tests.support.waiting import wait_until
from tests.support.workers import running_worker

SECRET = "whsec_" + "c2VjcmV0IG9mIGEgdGVzdCBvbmx5"


class Receiver:
    """A webhook that answers 503 while it is down, and else keeps what arrives; ``tried`` are the ids of all attempts."""

    def __init__(self) -> None:
        self.is_down = True
        self.tried: list[str] = []
        self.got: list[dict[str, Any]] = []

    def take(self, request: Request) -> Response:
        self.tried.append(request.headers["webhook-id"])
        if self.is_down:
            return Response(status=503, headers={"Retry-After": "1"})
        self.got.append(Webhook(SECRET).verify(request.data, dict(request.headers.items())))
        return Response(status=204)


@pytest.fixture
def settings(settings: Settings, httpserver: HTTPServer) -> Settings:
    changes: dict[str, Any] = {
        "email_to": ("you@example.org",),
        "webhook_urls": (httpserver.url_for("/hook"),),
        "webhook_secret": SECRET,
        "webhook_allow_private": True,
        "task_queue": f"audits-{uuid.uuid4().hex[:8]}",
    }
    return settings.model_copy(update=changes)


@pytest.fixture
def receiver(httpserver: HTTPServer) -> Receiver:
    one = Receiver()
    httpserver.expect_request("/hook").respond_with_handler(one.take)
    return one


@pytest.fixture
def bulkhead(settings: Settings, store: Store) -> Iterator[Bulkhead]:
    with closing(Bulkhead(settings, store)) as one, running_worker(settings):
        yield one


def write(settings: Settings, statement: str) -> None:
    with psycopg.connect(settings.database_url) as connection:
        connection.execute(statement.encode())


def audit(bulkhead: Bulkhead, *, scheduled: bool = True) -> str:
    """Run an audit of the records to its end, then look whether recipients are to be notified."""
    audit_id = bulkhead.ledger.audits.open(str(uuid.uuid4()), dataset="records", scheduled=scheduled)
    bulkhead.orchestrator.audit(AuditRef(audit_id, "records"))

    def has_ended() -> bool:
        one = bulkhead.ledger.audits.get(audit_id)
        return one is not None and one.state is AuditState.SUCCEEDED

    wait_until(has_ended, 300.0)
    bulkhead.orchestrator.reconcile()
    return audit_id


def mails(settings: Settings) -> list[str]:
    """Return the mails about audits, subject and text."""
    found = [message_from_bytes(file.read_bytes()) for file in settings.outbox_dir.glob("*.eml")]
    return sorted(f"{mail['Subject']}\n{mail.get_payload()}" for mail in found if "in records" in mail["Subject"])


def messages(bulkhead: Bulkhead) -> list[str]:
    return [row[0] for row in bulkhead.rows("select message from ledger.audit order by created_at")]


def test_errors_are_one_message_for_each_audit_and_one_more_when_there_are_none(
    bulkhead: Bulkhead, settings: Settings, receiver: Receiver
) -> None:
    write(
        settings,
        """insert into warehouse.records (id, "parentId", name, _import_id, _row)
        values ('a', null, 'Alpha', gen_random_uuid(), 1), ('SECRET-ID', 'gone', 'SECRET-NAME', gen_random_uuid(), 2)""",
    )
    first = audit(bulkhead)
    wait_until(lambda: len(mails(settings)) == 1 and len(receiver.tried) >= 2, 300.0)  # a mail does not wait for a webhook
    assert receiver.got == []
    receiver.is_down = False
    wait_until(lambda: len(receiver.got) == 1, 300.0)
    assert len(set(receiver.tried)) == 1, "all attempts have the same id"
    (told,) = receiver.got
    assert (told["type"], told["data"]["audit_id"], told["data"]["errors"]) == ("dataset.audited", first, 1)
    assert told["data"]["codes"] == [{"code": "missing_parent", "severity": "error", "findings": 1, "records": 1}]
    assert told["data"]["links"]["page"].endswith(f"/datasets/records/audits/{first}")
    assert "SECRET" not in json.dumps(told) + "".join(mails(settings))
    audit(bulkhead)
    wait_until(lambda: len(receiver.got) == 2 and len(mails(settings)) == 2, 300.0)

    write(settings, "delete from warehouse.records where id = 'SECRET-ID'")
    clean = audit(bulkhead, scheduled=False)
    wait_until(lambda: len(receiver.got) == 3 and len(mails(settings)) == 3, 300.0)
    assert (receiver.got[2]["type"], receiver.got[2]["data"]["audit_id"]) == ("dataset.clean", clean)
    assert mails(settings)[2].startswith("No errors in records any more\n")
    audit(bulkhead)
    assert messages(bulkhead) == ["errors", "errors", "clean", "none"]
    assert len(receiver.got) == 3
    assert len(mails(settings)) == 3


def test_a_message_that_was_started_and_not_recorded_is_not_sent_twice(
    bulkhead: Bulkhead, settings: Settings, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that ends between the two."""
    receiver.is_down = False
    write(
        settings,
        """insert into warehouse.records (id, "parentId", name, _import_id, _row)
        values ('d', 'd', 'own parent', gen_random_uuid(), 1)""",
    )
    audit(bulkhead)
    wait_until(lambda: len(receiver.got) == 1 and len(mails(settings)) == 1, 300.0)
    write(settings, "update ledger.audit set message = null")
    with closing(TemporalClient.of(settings)) as temporal:
        again = AuditResults(Ledger(bulkhead.engine).audits, temporal).check()
    assert [message.audit and message.audit.errors for message in again] == [1]
    assert messages(bulkhead) == [str(AuditMessage.ERRORS)]
    audit(bulkhead)
    wait_until(lambda: len(receiver.got) == 2, 300.0)  # of the second audit; a repeated first one would have come before
    assert len({told["data"]["audit_id"] for told in receiver.got}) == 2
    assert len(set(receiver.tried)) == len(receiver.tried) == 2
