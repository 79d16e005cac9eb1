"""Metrics of maintenance: what reconciliation found, and what retention removed."""

from __future__ import annotations

from pipeline.contracts.messages import Cleaned, Reconciled
from pipeline.telemetry import metrics
from pipeline.telemetry.catalog import LEFT_OBJECTS, NOT_REMOVED, RECONCILED, RECONCILIATION_RUNS, REMOVED, REMOVED_KINDS


def count_reconciliation(found: Reconciled) -> None:
    """Count what a reconciliation repaired, and show what it left alone."""
    repaired = {
        "started_imports": found.started,
        "expired_uploads": found.expired,
        "restarted_messages": found.told,
        "terminated_runs": found.terminated,
    }
    for kind, number in repaired.items():
        metrics.count(RECONCILED, number, kind=kind)
    metrics.set_to(LEFT_OBJECTS, found.unknown, kind="unknown")
    metrics.set_to(LEFT_OBJECTS, found.replaced, kind="replaced")
    metrics.count(RECONCILIATION_RUNS)


def count_clean_up(done: Cleaned) -> None:
    """Count what a clean-up removed, and what it could not remove."""
    for kind in REMOVED_KINDS:
        metrics.count(REMOVED, getattr(done, kind), kind=kind)
    metrics.count(NOT_REMOVED, done.failed)
