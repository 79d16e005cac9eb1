"""Find when a load began, from the moves of its import."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from pipeline.contracts.states import State
from pipeline.ledger.models import Move


def load_begun(moves: Sequence[Move]) -> datetime | None:
    """Return when the load began; None before that, and if it began more than once: then its rate cannot be computed."""
    times = [move.at for move in moves if move.to_state == State.LOADING]
    return times[0] if len(times) == 1 else None
