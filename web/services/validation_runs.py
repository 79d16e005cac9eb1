"""Read the validation runs of a dataset: a page of its files' verdicts, and how often each expectation was not met."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.datasets.dataset import Dataset
from pipeline.ledger.models import ValidationRun
from web.app_context import app_context
from web.http.cursors import page_of
from web.services.imports import find


@dataclass
class Misses:
    """In how many files an expectation was not met, and the newest of them."""

    rule: str
    column: str | None
    severity: str
    files: int
    last: ValidationRun


def validation_runs(dataset: Dataset, before: str | None, limit: int) -> tuple[Sequence[ValidationRun], str | None]:
    """Return a page of the verdicts on a dataset's files, newest first, and the cursor of the next page.

    ``before``: the id of the last import of the page before. Raises Problem if this key sees no such import.
    """
    after = find(before).id if before else None
    found = app_context().ledger.findings.validation_runs(dataset.name, before=after, limit=limit + 1)
    return page_of(found, limit, lambda run: run.id)


def misses_of(runs: Sequence[ValidationRun]) -> list[Misses]:
    """Return the expectations that files did not meet, the most frequent first. ``runs``: newest first."""
    found: dict[tuple[str, str | None], Misses] = {}
    for run in runs:
        for one in (run.expectations or {}).get("unmet", ()):
            seen = found.setdefault((one["rule"], one["column"]), Misses(one["rule"], one["column"], one["severity"], 0, run))
            seen.files += 1
    return sorted(found.values(), key=lambda one: (-one.files, one.rule))
