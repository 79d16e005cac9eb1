"""Staging table -> parents-first order -> numbered batches of 100 to 200 records -> Parquet parts, and a manifest.

The boundaries are data, in the manifest and in the parts; nothing later computes them again. The same file gives the same
parts, byte for byte, so a preparation that was cut off is simply done again.

A part holds at most ``PART_BYTES`` of text, or one record: the boundaries follow from a running sum of bytes, so that the
memory of the worker that loads a part is bounded whatever the widths (docs/decisions/0021).
"""

from __future__ import annotations

import shutil
from pathlib import Path

import duckdb

from pipeline.datasets.dataset import Dataset
from pipeline.prepare.boundaries import cut_batches, group_batches, needed_parts
from pipeline.prepare.manifest import MANIFEST, PART_BYTES, BatchSizes, Manifest
from pipeline.prepare.parents_first import give_levels, lay_out_forest, put_in_order
from pipeline.prepare.part_files import gathered_tables, streamed_tables, write_parts
from pipeline.staging.database import WIDE_BYTES, longest_row


def cut(connection: duckdb.DuckDBPyConnection, dataset: Dataset, cutting: BatchSizes, *, folder: Path) -> Manifest:
    """Cut ``incoming`` into parts below ``folder`` (made anew) and return the manifest, which is written there last.

    What is not ``quarantined`` of it must be valid: ids unique, no cycles.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    lay_out_forest(connection, dataset)
    give_levels(connection)
    widest = longest_row(connection)
    records = put_in_order(connection, dataset, widest)
    batches = cut_batches(connection, records, cutting)
    cuts = group_batches(batches, cutting.batches_per_part)
    needs = needed_parts(connection, cuts)
    if widest > WIDE_BYTES:
        tables = gathered_tables(connection, dataset, cuts, folder)
    else:
        tables = streamed_tables(connection, dataset, cuts, widest)
    parts = tuple(write_parts(tables, needs, folder))
    manifest = Manifest(
        cutting.import_id,
        dataset.name,
        records,
        len(batches),
        cutting.batch_records,
        parts,
        cutting.batches_per_part,
        PART_BYTES,
    )
    if sum(part.records for part in parts) != records:
        raise RuntimeError(f"{records} records went into the batches, {sum(p.records for p in parts)} came out.")
    (folder / MANIFEST).write_text(manifest.to_json())
    return manifest
