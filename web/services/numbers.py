"""The numbers of datasets for their pages and the API: what was counted last, and what last spoke of problems."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pipeline.datasets.dataset import Dataset
from pipeline.datasets.search_columns import searched_columns
from pipeline.warehouse.dataset_numbers import DatasetNumbers, LastChecks
from web.app_context import app_context


@dataclass(frozen=True)
class Numbers:
    """A dataset's numbers as of its last count, and its last audit and import."""

    counted: DatasetNumbers
    last: LastChecks
    search: tuple[str, ...]

    @property
    def problems(self) -> int:
        """Return how many errors are known: of the last audit, of the last import, and records that no root leads to."""
        return (self.last.audit_errors or 0) + (self.last.import_errors or 0) + (self.counted.unreachable or 0)

    def to_json(self) -> dict[str, Any]:
        """Return the numbers as the API shows them."""
        counted, last = self.counted, self.last
        audit = {
            "id": last.audit_id,
            "errors": last.audit_errors,
            "warnings": last.audit_warnings,
            "finished_at": _time(last.audited_at),
        }
        ended = {
            "id": last.import_id,
            "state": last.import_state,
            "errors": last.import_errors,
            "finished_at": _time(last.imported_at),
        }
        return {
            "dataset": counted.dataset,
            "records": counted.records,
            "roots": counted.roots,
            "depth": counted.depth,
            "unreachable": counted.unreachable,
            "counted_at": _time(counted.counted_at),
            "is_current": counted.is_current,
            "problems": self.problems,
            "audit": audit if last.audit_id else None,
            "last_import": ended if last.import_id else None,
            "search": list(self.search),
        }


def dataset_numbers(dataset: Dataset) -> Numbers:
    """Return the numbers of a dataset. ``dataset``: as key_scope returns it."""
    return numbers_of([dataset])[dataset.name]


def numbers_of(datasets: Sequence[Dataset]) -> dict[str, Numbers]:
    """Return the numbers of datasets by name, by two queries for all of them."""
    names = [one.name for one in datasets]
    counted, last = app_context().numbers.of(names), app_context().numbers.last(names)
    return {one.name: Numbers(counted[one.name], last[one.name], searched_columns(one)) for one in datasets}


def _time(moment: datetime | None) -> str | None:
    return moment.isoformat().replace("+00:00", "Z") if moment else None
