"""Cut accepted records into parts: parents first, in numbered batches of 100 to 200 records, as Parquet, with a manifest.

The boundaries are data, in the manifest and in the parts; no later step computes them again. The same file gives the same
parts, byte for byte, so an interrupted preparation is simply repeated.

A part has at most ``BatchSizes.part_bytes`` of values, or one record: the boundaries follow from a running sum of bytes, so
that the memory of the worker that loads a part is bounded, however wide the records are (docs/decisions/0021).
"""

from __future__ import annotations

import shutil
from pathlib import Path

import duckdb

from pipeline.datasets.dataset import Dataset
from pipeline.prepare.boundaries import PartCut, cut_batches, cut_layout, group_batches, needed_parts
from pipeline.prepare.manifest import MANIFEST, BatchSizes, Manifest
from pipeline.prepare.parents_first import give_levels, lay_out_forest, put_depth_first, put_in_order
from pipeline.prepare.part_files import gathered_tables, streamed_tables, write_parts
from pipeline.staging.database import WIDE_BYTES, longest_row


def cut(connection: duckdb.DuckDBPyConnection, dataset: Dataset, cutting: BatchSizes, *, folder: Path) -> Manifest:
    """Cut ``incoming`` into parts in ``folder``, which is emptied first, and return the manifest, which is written there last.

    The records that are not ``quarantined`` must be valid: ids unique, no cycles. Raises RuntimeError if a record is lost.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    lay_out_forest(connection, dataset)
    widest = longest_row(connection)
    is_wide = widest > WIDE_BYTES
    layout = None if is_wide else put_depth_first(connection, dataset, cutting)
    if layout:
        cuts = cut_layout(layout, cutting)
        needs = [0, *[1 if layout.spine else 0] * (len(cuts) - 1)]
    else:
        cuts, needs = _by_level(connection, dataset, cutting, is_wide=is_wide)
    if is_wide:
        tables = gathered_tables(connection, dataset, cuts, folder)
    else:
        tables = streamed_tables(connection, dataset, cuts, widest=widest, cutting=cutting)
    records = sum(cut.records for cut in cuts)
    parts = tuple(write_parts(tables, needs, folder))
    manifest = Manifest(
        cutting.import_id,
        dataset.name,
        records,
        sum(len(cut.batches) for cut in cuts),
        cutting.batch_records,
        parts,
        cutting.batches_per_part,
        cutting.part_bytes,
        "depth first" if layout else "by level",
        layout.spine if layout else 0,
    )
    if sum(part.records for part in parts) != records:
        raise RuntimeError(f"{records} records went into the batches, {sum(p.records for p in parts)} came out.")
    (folder / MANIFEST).write_text(manifest.to_json())
    return manifest


def _by_level(
    connection: duckdb.DuckDBPyConnection, dataset: Dataset, cutting: BatchSizes, *, is_wide: bool
) -> tuple[list[PartCut], list[int]]:
    """Put the records in the order of levels, and return the boundaries of the parts and which part each one needs."""
    give_levels(connection)
    records = put_in_order(connection, dataset, with_values=not is_wide)
    cuts = group_batches(cut_batches(connection, records, cutting), cutting)
    return cuts, needed_parts(connection, cuts)
