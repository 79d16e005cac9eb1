"""What an operator watches: open imports, queues, and the arrivals of files that are expected.

Each query takes the datasets to look at and reads a few index entries for each, however long the ledger is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine

from pipeline.contracts.states import State
from pipeline.ledger.statements import Statements

OPEN = tuple(state for state in State if not state.is_final)


@dataclass(frozen=True)
class Arrival:
    """The last file of a dataset; ``silent_since``: the arrival before the silence that recipients were notified of."""

    dataset: str
    last_at: datetime
    age_seconds: float
    silent_since: datetime | None


class Monitoring:
    """Read queues and arrivals, and record which silences are known."""

    def __init__(self, engine: Engine) -> None:
        self._statements = Statements(engine)

    def open_imports(self, datasets: Sequence[str]) -> list[tuple[str, State, int]]:
        """Return the number of imports in each state that is not final, by dataset."""
        rows = self._statements.rows("monitoring/open_imports", datasets=list(datasets), states=list(map(str, OPEN)))
        return [(row["dataset"], State(row["state"]), int(row["imports"])) for row in rows]

    def queue_ages(self, datasets: Sequence[str]) -> list[tuple[str, float]]:
        """Return how long the first import of each dataset's queue has waited, in seconds; 0 if none waits."""
        rows = self._statements.rows("monitoring/queue_ages", datasets=list(datasets))
        return [(row["dataset"], float(row["age_seconds"])) for row in rows]

    def arrivals(self, datasets: Sequence[str]) -> list[Arrival]:
        """Return the last arrivals of those of the datasets that had one, or whose files are expected."""
        return [Arrival(**row) for row in self._statements.rows("monitoring/arrivals", datasets=list(datasets))]

    def expect(self, datasets: Sequence[str]) -> None:
        """Expect files of these datasets from now on, and of no others."""
        self._statements.run("expected_arrivals/watch", datasets=list(datasets))
        self._statements.run("expected_arrivals/forget", datasets=list(datasets))

    def set_silent(self, dataset: str, since: datetime | None) -> None:
        """Record that recipients are notified of a silence since then; None: that it is over."""
        self._statements.run("expected_arrivals/set_silent", dataset=dataset, since=since)
