"""Write the messages about a dataset whose files do not arrive, or do again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from pipeline.contracts.dataset_messages import DatasetMessage


def silence_payload(silence: DatasetMessage, *, page: str) -> dict[str, Any]:
    """Return the body of a webhook: ``dataset.silent``, or ``dataset.resumed``."""
    return {
        "type": "dataset.resumed" if silence.ended_at else "dataset.silent",
        "timestamp": datetime.now(tz=UTC).isoformat(),
        "data": {
            "dataset": silence.dataset,
            "last_arrival_at": silence.since,
            "arrived_at": silence.ended_at or None,
            "expect_every_seconds": silence.expected_seconds,
            "links": {"page": page},
        },
    }


def silence_subject_and_text(silence: DatasetMessage, *, page: str) -> tuple[str, str]:
    """Return the subject and the text of an e-mail."""
    name, since, link = silence.dataset, _readable(silence.since), f"The imports: {page}\n"
    if silence.ended_at:
        arrived = f"A file of {name} arrived on {_readable(silence.ended_at)}. The one before it arrived on {since}."
        return f"Files of {name} arrive again", f"{arrived}\n\n{link}"
    every = timedelta(seconds=silence.expected_seconds)
    return (
        f"No file of {name} since {since}",
        f"No file of {name} has arrived since {since}. One is expected every {_interval(every)}.\n"
        f"Check the system that sends it. There is no further message until a file arrives.\n\n{link}",
    )


def _readable(moment: str) -> str:
    return datetime.fromisoformat(moment).astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def _interval(every: timedelta) -> str:
    """Return ``day``, ``36 hours``, ``15 minutes``: the longest unit that has no fraction."""
    for unit, name in ((timedelta(days=1), "day"), (timedelta(hours=1), "hour"), (timedelta(minutes=1), "minute")):
        if every % unit == timedelta():
            number = every // unit
            return name if number == 1 else f"{number:,} {name}s"
    return f"{every.total_seconds():,.0f} seconds"
