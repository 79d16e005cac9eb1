"""Say how far a load is, how fast, and how long it will take: the sentences that the page shows and the event stream sends."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pipeline.contracts.states import State
from pipeline.display import counted, estimate_text
from pipeline.ledger.models import ImportRecord, Move


def load_begun(moves: Sequence[Move]) -> datetime | None:
    """Return when the load began; None before that, and if it began more than once: then its rate cannot be computed."""
    times = [move.at for move in moves if move.to_state == State.LOADING]
    return times[0] if len(times) == 1 else None


def records_left(one: ImportRecord) -> int:
    """Return how many records have no outcome yet."""
    return max(one.records_total - one.processed, 0)


def pace_text(records_per_second: float | None, records_left: int) -> str:
    """Return ``20 records a second, about 6 minutes left``; empty if the rate is not known."""
    if records_per_second is None:
        return ""
    if records_per_second <= 0:
        return "No record in the last seconds"
    rate = counted(max(round(records_per_second), 1), "record")
    return f"{rate} a second, about {estimate_text(records_left / records_per_second)} left"


def progress_texts(one: ImportRecord, records_per_second: float | None) -> dict[str, Any]:
    """Return the progress of an import as texts: ``records``, ``parts``, ``left``, ``pace``, and each of ``counts``."""
    return {
        "records": f"{one.processed:,} of {counted(one.records_total, 'record')}",
        "parts": f"{one.parts_done:,} of {counted(one.parts_total, 'part')}",
        "left": f"{records_left(one):,}",
        "pace": pace_text(records_per_second, records_left(one)),
        "counts": {name: f"{count:,}" for name, count in one.counts.items()},
    }
