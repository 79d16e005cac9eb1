"""Of which audits recipients get a message, and what it says."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from pipeline.contracts.dataset_messages import AuditResult, CodeCount, DatasetMessage
from pipeline.ledger.audits import AuditMessage, UndecidedAudit
from pipeline.monitoring.audit_results import AuditResults, decide, message_about
from pipeline.notify.dataset_messages import dataset_email, dataset_payload

CODES = [{"code": "missing_parent", "severity": "error", "findings": 1200, "records": 1100, "percent": 11.0}]
FOUND = AuditResult("a1", "2026-11-23T08:30:00Z", 10_000, 1100, 1200, 3, (CodeCount("missing_parent", "error", 1200, 1100),))
CLEAN = AuditResult("a2", "2026-11-24T08:30:00Z", 10_000, 0, 0, 0)


def audit(errors: int, *, name: str = "a1", scheduled: bool = True, known: str | None = None) -> UndecidedAudit:
    codes: list[dict[str, Any]] = CODES if errors else []
    ended = datetime(2026, 11, 23, 8, 30, tzinfo=UTC)
    return UndecidedAudit(name, "places", scheduled, ended, 10_000, errors and 1100, errors, errors and 3, codes, known)


@pytest.mark.parametrize(
    ("errors", "scheduled", "known", "decided"),
    [
        (1200, True, None, "errors"),
        (1200, True, "errors", "errors"),
        (1200, True, "clean", "errors"),
        (1200, False, None, "none"),
        (0, True, None, "none"),
        (0, True, "errors", "clean"),
        (0, False, "errors", "clean"),
        (0, True, "clean", "none"),
    ],
)
def test_what_recipients_get_to_know(errors: int, scheduled: bool, known: str | None, decided: str) -> None:
    assert decide(audit(errors, scheduled=scheduled), known) == decided


class Recorder:
    """Audits that are not decided, and what was sent and recorded, in order."""

    def __init__(self, *audits: UndecidedAudit) -> None:
        self.audits = audits
        self.done: list[tuple[str, str]] = []

    def undecided(self) -> list[UndecidedAudit]:
        return list(self.audits)

    def decide(self, audit_id: str, message: AuditMessage) -> None:
        self.done.append((audit_id, str(message)))

    def notify_of_dataset(self, message: DatasetMessage) -> None:
        assert message.audit is not None
        self.done.append((message.audit.audit_id, "sent"))


def test_each_of_several_audits_follows_the_one_before_and_is_sent_before_it_is_recorded() -> None:
    recorder = Recorder(audit(1200, name="a1"), audit(0, name="a2"), audit(0, name="a3"))
    sent = AuditResults(recorder, recorder).check()  # type: ignore[arg-type]
    assert [message.audit and message.audit.errors for message in sent] == [1200, 0]
    assert recorder.done == [("a1", "sent"), ("a1", "errors"), ("a2", "sent"), ("a2", "clean"), ("a3", "none")]


def test_a_message_has_the_counts() -> None:
    assert message_about(audit(1200)) == DatasetMessage("places", audit=FOUND)


def test_a_webhook_says_it_for_programs() -> None:
    body = dataset_payload(DatasetMessage("places", audit=FOUND), url="http://x")
    assert body["type"] == "dataset.audited"
    assert body["data"] == {
        "dataset": "places",
        "audit_id": "a1",
        "finished_at": "2026-11-23T08:30:00Z",
        "records": 10_000,
        "records_invalid": 1100,
        "errors": 1200,
        "warnings": 3,
        "codes": [{"code": "missing_parent", "severity": "error", "findings": 1200, "records": 1100}],
        "links": {"page": "http://x/datasets/places/audits/a1"},
    }
    json.dumps(body)
    assert dataset_payload(DatasetMessage("places", audit=CLEAN), url="http://x")["type"] == "dataset.clean"


def test_an_email_says_it_for_people() -> None:
    mail = dataset_email(DatasetMessage("places", audit=FOUND), url="http://x", sender="a@x.org", to="b@x.org", message_id="m")
    assert mail["Subject"] == "1,200 errors in places"
    text = mail.get_content()
    assert "An audit of places has checked 10,000 records. 1,100 of them have errors." in text
    assert "missing_parent (error): 1,200 findings" in text
    assert "http://x/datasets/places/audits/a1" in text


def test_an_email_says_that_there_are_none_any_more() -> None:
    mail = dataset_email(DatasetMessage("places", audit=CLEAN), url="http://x", sender="a@x.org", to="b@x.org", message_id="m")
    assert mail["Subject"] == "No errors in places any more"
    assert "has checked 10,000 records and found no errors." in mail.get_content()
