"""The pace of a load, from its moves."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from pipeline.contracts.states import State
from pipeline.ledger.models import Move


def load_begun(moves: Sequence[Move]) -> datetime | None:
    """When the load began; None before, and if it began more than once, since nobody knows what each of them has done."""
    times = [move.at for move in moves if move.to_state == State.LOADING]
    return times[0] if len(times) == 1 else None
