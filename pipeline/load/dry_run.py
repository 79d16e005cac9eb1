"""Dry run: count exactly what loading parts would do, without doing any of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import psycopg

from pipeline.contracts.messages import DryRunCounts
from pipeline.datasets.dataset import Dataset
from pipeline.load.arriving import Connection, PartLoad, drop_misfits, fill_arriving
from pipeline.load.part_file import read_records
from pipeline.load.transaction import converted_errors, is_refusal, transaction


def preview(
    connection: Connection, dataset: Dataset, parts: Iterable[tuple[Path, str]], *, beat: Callable[[], None] = lambda: None
) -> DryRunCounts:
    """Return what loading ``parts`` (files, each with its SHA-256) would do.

    Each part takes one transaction of ``connection``, which is rolled back. What only a constraint of the table refuses is not
    noticed. Raises DamagedPart, Unreachable or SystemFault as load_part does.
    """
    counts = DryRunCounts()
    for path, sha256 in parts:
        load = PartLoad(connection, read_records(path, dataset, sha256))
        with converted_errors(), transaction(connection, force_rollback=True):
            counts += _count(load)
        beat()
    return counts


def _count(load: PartLoad) -> DryRunCounts:
    try:
        with load.connection.transaction():
            fill_arriving(load, typed=True)
            return _compare(load, typed=True)
    except psycopg.Error as error:
        if not is_refusal(error):
            raise
    fill_arriving(load, typed=False)
    drop_misfits(load)
    return _compare(load, typed=False)


def _compare(load: PartLoad, *, typed: bool) -> DryRunCounts:
    load.connection.execute("analyze arriving")  # without statistics the planner may read the whole table for each part
    row = load.connection.execute(load.target.dry_run(typed=typed)).fetchone()
    assert row is not None
    inserted, updated, unchanged, moved = row
    return DryRunCounts(inserted, updated, unchanged, moved, load.size - inserted - updated - unchanged)
