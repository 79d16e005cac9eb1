"""Files that are expected and do not arrive: have the recipients notified once, and once more when files arrive again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from pipeline.contracts.dataset_messages import DatasetMessage
from pipeline.datasets.expected_arrivals import expected_intervals
from pipeline.ledger.monitoring import Arrival, Monitoring
from pipeline.monitoring.notifier import Notifier
from pipeline.settings import Settings
from pipeline.warehouse.dataset_source import source_of

log = structlog.get_logger()


class Silences:
    """Compare the arrivals of files with what the suites expect."""

    def __init__(self, settings: Settings, ledger: Monitoring, notifier: Notifier) -> None:
        self._settings = settings
        self._ledger = ledger
        self._notifier = notifier

    def check(self) -> list[DatasetMessage]:
        """Have recipients notified of the silences that began or ended since the last check, and return these.

        The messages are started before the ledger records it. If this ends between the two, the next check starts the same
        workflow again, which Temporal refuses.
        """
        expected = expected_intervals(source_of(self._settings).root())
        self._ledger.expect(list(expected))
        told = []
        for arrival in self._ledger.arrivals(list(expected)):
            for silence in changes(arrival, expected[arrival.dataset]):
                log.warning("expected file", dataset=silence.dataset, since=silence.since, ended_at=silence.ended_at or None)
                self._notifier.notify_of_dataset(silence)
                self._ledger.set_silent(silence.dataset, None if silence.ended_at else arrival.last_at)
                told.append(silence)
        return told


def changes(arrival: Arrival, interval: timedelta) -> Iterator[DatasetMessage]:
    """Yield the end of the silence that recipients know of, if a file has arrived since, and the silence that has begun."""
    known, is_silent = arrival.silent_since, arrival.age_seconds > interval.total_seconds()
    began = DatasetMessage(arrival.dataset, _rfc3339(arrival.last_at), int(interval.total_seconds()))
    if known is not None and arrival.last_at > known:
        yield replace(began, since=_rfc3339(known), ended_at=_rfc3339(arrival.last_at))
        known = None
    if is_silent and known is None:
        yield began


def _rfc3339(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
