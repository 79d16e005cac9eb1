"""Metrics of an import: its validation, and when it ends the time that each phase took and the records without a part."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import pairwise

import structlog
from sqlalchemy.exc import SQLAlchemyError

from pipeline.contracts.states import State
from pipeline.ledger.ledger import Ledger
from pipeline.ledger.models import ImportRecord, Move
from pipeline.telemetry import metrics
from pipeline.telemetry.catalog import FILE_BYTES, FINDINGS, PHASE_SECONDS, PHASES, RECORDS
from pipeline.telemetry.known_codes import KNOWN_CODES
from pipeline.telemetry.metric import OTHER

WHOLE = "whole"

log = structlog.get_logger()


def count_validation(known: ImportRecord, by_code: Mapping[str, int]) -> None:
    """Count the file and the findings of a validation that was just stored."""
    metrics.count(FILE_BYTES, known.size_bytes, dataset=known.dataset)
    for code, number in by_code.items():
        metrics.count(FINDINGS, number, dataset=known.dataset, code=code if code in KNOWN_CODES else OTHER)


def count_end(ledger: Ledger, known: ImportRecord, state: State) -> None:
    """Count what an import that has just come into its final state leaves: its phases, and the records that no part had.

    The records of a dry run count when it is promoted. An error is only logged, since the import has ended.
    """
    if not metrics.is_on():
        return
    if state is not State.VALIDATED:
        left = {"quarantined": known.quarantined, "unprocessed": known.records_total - known.processed}
        for outcome, number in left.items():
            metrics.count(RECORDS, number, dataset=known.dataset, outcome=outcome)
    try:
        seconds = phase_seconds(ledger.imports.moves(known.id))
    except SQLAlchemyError as error:
        log.warning("phases not measured", import_id=known.id, error=type(error).__name__)
        return
    for phase, value in seconds.items():
        metrics.observe(PHASE_SECONDS, value, dataset=known.dataset, phase=phase)


def phase_seconds(moves: Sequence[Move]) -> dict[str, float]:
    """Return how many seconds each phase took, by its name, from an import's changes of state, oldest first.

    A phase that was begun again counts with all its time, one that was not reached is missing. A dry run that was promoted
    begins with its promotion: how long a user thought about it is no phase.
    """
    begins = [number for number, move in enumerate(moves) if move.to_state == State.QUEUED]
    promoted = [number for number in begins if moves[number].from_state == State.VALIDATED]
    if not begins:
        return {}
    counted = moves[promoted[-1] if promoted else begins[0] :]
    found: dict[str, float] = defaultdict(float)
    for move, following in pairwise(counted):
        if move.to_state in PHASES:
            found[move.to_state] += (following.at - move.at).total_seconds()
    return {**found, WHOLE: (counted[-1].at - counted[0].at).total_seconds()}
