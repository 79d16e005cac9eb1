"""Reuse the verdict, report and parts of an earlier import of the same content, instead of validating it again.

Only if validation is certain to give the same result: the earlier import was accepted without a finding, did not depend on the
warehouse, and was validated by the same release, with the same rules, none of which depends on time, and the same sizes of
parts. Then the verdict follows from the file's bytes alone (docs/decisions/0013).
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from pipeline.adapters.s3 import NotThere, Store
from pipeline.contracts.object_keys import Kept, part_key, report_prefix
from pipeline.datasets.dataset import Dataset
from pipeline.ledger.models import ImportRecord
from pipeline.prepare.manifest import BatchSizes, Manifest
from pipeline.report.findings import Counted

TAKEN_OVER_FROM = "taken_over_from"
"""The key in ``reading`` that names the earlier import."""

COPIES_AT_ONCE = 8


def earlier_result(earlier: ImportRecord, manifest: Manifest, dataset: Dataset, cutting: BatchSizes) -> Counted | None:
    """Return the result of ``earlier``, an import of the same content; None if the file has to be validated."""
    reading = earlier.reading
    if not dataset.rules or (reading.get("rules"), reading.get("asked")) != (dataset.rules, 0):
        return None
    if earlier.findings_errors or earlier.findings_warnings or earlier.quarantined:
        return None
    if earlier.removed_at(Kept.BATCHES) or earlier.removed_at(Kept.REPORT) or not manifest.is_cut_by(cutting):
        return None
    return Counted(earlier.records_total, 0, 0, 0, reading={**reading, TAKEN_OVER_FROM: earlier.id})


def copy_report(store: Store, earlier_id: str, import_id: str, *, beat: Callable[[], None]) -> None:
    """Copy the report of an earlier import. Raises NotThere if some of it has been removed."""
    old, new = report_prefix(earlier_id), report_prefix(import_id)
    keys = [stored.key for stored in store.list(old)]
    if not keys:
        raise NotThere(f"The report on {earlier_id} has been removed.")
    _copy(store, [(key, new + key.removeprefix(old)) for key in keys], beat)


def copy_parts(store: Store, earlier: Manifest, import_id: str, *, beat: Callable[[], None]) -> Manifest:
    """Copy the parts of an earlier import; return the manifest, which is yet to be stored. Raises NotThere."""
    numbers = [part.part_no for part in earlier.parts]
    _copy(store, [(part_key(earlier.import_id, number), part_key(import_id, number)) for number in numbers], beat)
    return replace(earlier, import_id=import_id)


def _copy(store: Store, keys: list[tuple[str, str]], beat: Callable[[], None]) -> None:
    with ThreadPoolExecutor(COPIES_AT_ONCE) as pool:
        for _ in pool.map(lambda pair: store.copy_whole(*pair), keys):
            beat()
