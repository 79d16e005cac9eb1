"""When recipients get a message about files that do not arrive: once for a silence, and once for its end."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipeline.contracts.dataset_messages import DatasetMessage
from pipeline.datasets.dataset import load_dataset
from pipeline.datasets.expected_arrivals import expected_interval, expected_intervals
from pipeline.errors import InvalidConfiguration
from pipeline.ledger.monitoring import Arrival
from pipeline.monitoring.silences import changes
from pipeline.notify.dataset_messages import dataset_email, dataset_payload

DAY = timedelta(days=1)
MONDAY = datetime(2026, 11, 23, 8, 30, tzinfo=UTC)
BEGUN = DatasetMessage("places", "2026-11-23T08:30:00Z", 86400)


def told(age: timedelta, *, last: datetime = MONDAY, known: datetime | None = None) -> list[DatasetMessage]:
    return list(changes(Arrival("places", last, age.total_seconds(), known), DAY))


def test_a_file_in_time_is_no_news() -> None:
    assert told(DAY) == []
    assert told(timedelta()) == []


def test_a_silence_is_one_message() -> None:
    assert told(DAY + timedelta(seconds=1)) == [BEGUN]
    assert told(30 * DAY, known=MONDAY) == []


def test_its_end_is_one_message_which_names_both_files() -> None:
    later = MONDAY + 3 * DAY
    (end,) = told(timedelta(minutes=1), last=later, known=MONDAY)
    assert (end.since, end.ended_at) == ("2026-11-23T08:30:00Z", "2026-11-26T08:30:00Z")
    assert told(timedelta(minutes=1), last=later) == []


def test_a_silence_that_follows_an_end_unseen_is_a_message_too() -> None:
    later = MONDAY + 3 * DAY
    assert [one.ended_at for one in told(2 * DAY, last=later, known=MONDAY)] == ["2026-11-26T08:30:00Z", ""]


def test_a_longer_interval_ends_no_silence_by_itself() -> None:
    assert told(timedelta(hours=1), known=MONDAY) == []


# --- expect_every ---


@pytest.mark.parametrize(("said", "interval"), [("1d", DAY), ("15m", timedelta(minutes=15)), ("2w", 14 * DAY), (None, None)])
def test_an_interval_is_read(said: str | None, interval: timedelta | None) -> None:
    assert expected_interval({"meta": {} if said is None else {"expect_every": said}}) == interval


@pytest.mark.parametrize("said", ["", "daily", "0", "59s", "-1d", "forever", 86400, True, {"days": 1}, "9999999d"])
def test_what_is_no_interval_is_refused_where_the_dataset_is_loaded(said: object, a_root: Path) -> None:
    expect(a_root, "places", said)
    with pytest.raises(InvalidConfiguration, match=r"expectations/places\.json"):
        load_dataset("places", a_root)
    assert expected_intervals(a_root) == {}


def test_the_intervals_of_all_datasets(a_root: Path) -> None:
    expect(a_root, "places", "36h")
    (a_root / "expectations" / "broken.json").write_text("{")
    (a_root / "expectations" / "list.json").write_text("[]")
    assert expected_intervals(a_root) == {"places": timedelta(hours=36)}
    load_dataset("places", a_root)


def expect(root: Path, dataset: str, said: object) -> None:
    """Write an expect_every into a suite."""
    file = root / "expectations" / f"{dataset}.json"
    suite = json.loads(file.read_text())
    suite["meta"]["expect_every"] = said
    file.write_text(json.dumps(suite))


# --- the messages ---


def test_a_webhook_says_it_for_programs() -> None:
    body = dataset_payload(BEGUN, url="http://x")
    assert body["type"] == "dataset.silent"
    assert body["data"] == {
        "dataset": "places",
        "last_arrival_at": "2026-11-23T08:30:00Z",
        "arrived_at": None,
        "expect_every_seconds": 86400,
        "links": {"page": "http://x/imports?dataset=places"},
    }
    ended = DatasetMessage("places", BEGUN.since, 86400, ended_at="2026-11-26T08:30:00Z")
    assert dataset_payload(ended, url="")["type"] == "dataset.resumed"


@pytest.mark.parametrize(
    ("seconds", "every"),
    [(86400, "every day."), (129600, "every 36 hours."), (900, "every 15 minutes."), (61, "every 61 seconds.")],
)
def test_an_email_says_it_for_people(seconds: int, every: str) -> None:
    one = DatasetMessage("places", BEGUN.since, seconds)
    mail = dataset_email(one, url="http://x", sender="a@example.org", to="b@example.org", message_id="msg_1")
    assert mail["Subject"] == "No file of places since 2026-11-23 08:30 UTC"
    assert every in mail.get_content()
    assert "http://x/imports" in mail.get_content()


def test_an_email_says_that_it_is_over() -> None:
    one = DatasetMessage("places", BEGUN.since, 86400, ended_at="2026-11-26T08:30:00Z")
    mail = dataset_email(one, url="", sender="a@example.org", to="b@example.org", message_id="msg_1")
    assert mail["Subject"] == "Files of places arrive again"
    assert "arrived on 2026-11-26 08:30 UTC. The one before it arrived on 2026-11-23 08:30 UTC." in mail.get_content()
