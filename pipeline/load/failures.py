"""Enter records that cannot be loaded in the ledger, each with its reason and its values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import pyarrow as pa
from psycopg.types.json import Jsonb

from pipeline.contracts.masking import masked_record, masked_text
from pipeline.load.arriving import PartLoad
from pipeline.load.part_file import CARRIED, slice_ranges
from pipeline.sqlfiles import load as query_text

OF_IDS = ("missing_parent", "parent_failed")
"""Codes of failures whose messages speak of IDs only."""


class Failure(NamedTuple):
    """Why the record at ``place`` of a part cannot be loaded."""

    place: int
    code: str
    message: str
    sqlstate: str = ""


def record_failures(load: PartLoad, failures: Sequence[Failure]) -> None:
    """Enter the failures in the ledger, within the part's transaction. The table ``arriving`` is not touched."""
    sizes = load.records.sizes.take(pa.array([failure.place for failure in failures], pa.int64()))
    with load.connection.cursor() as cursor:
        for first, last in slice_ranges(sizes):
            rows = [_row(load, failure) for failure in failures[first:last]]
            cursor.executemany(query_text("queries/load/failure"), rows)


def has_failures(load: PartLoad) -> bool:
    """Return whether a record of this import has failed so far, in this part or an earlier one."""
    row = load.run("has_failures").fetchone()
    return bool(row and row[0])


def _row(load: PartLoad, failure: Failure) -> dict[str, Any]:
    """Return the ledger's row of a failure, with the record's values as they would have been loaded."""
    record = load.records.as_json(failure.place)
    batch, row = (load.records.table.column(name)[failure.place].as_py() for name in CARRIED)
    message, unmasked = failure.message, None
    if personal := load.dataset.personal:
        unmasked = Jsonb({"message": message, "record": record})
        record = masked_record(record, personal)
        message = message if failure.code in OF_IDS else masked_text(failure.code)
    return {
        **{"import_id": load.import_id, "row": row, "part_no": load.part_no, "batch_no": batch},
        **{"id": str(record[load.dataset.key]), "code": failure.code, "sqlstate": failure.sqlstate},
        **{"message": message, "record": Jsonb(record), "unmasked": unmasked},
    }
