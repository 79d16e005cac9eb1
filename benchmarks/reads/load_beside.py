"""Load parts into the table, in processes of their own, while it is read."""

from __future__ import annotations

import hashlib
import itertools
import multiprocessing
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks import data
from benchmarks.reads.table import Table, new_import
from pipeline.datasets.dataset import load_dataset
from pipeline.load.load_part import load_part
from pipeline.load.part_file import PartFile

PART_RECORDS = 20_000


def load_on(table: Table, root: Path, folder: Path, import_id: str, number: int, over: Any, loaded: Any) -> None:
    """Load part after part of new records below the present ones, until ``over``. Runs in a process of its own.

    Each ``number`` of a process has parts and records of its own.
    """
    dataset, first = load_dataset(data.DATASET, root), table.records * (number + 2)
    path = folder / f"{import_id}-{number}.parquet"
    with psycopg.connect(table.url) as connection:
        for part_no in itertools.count(number * 1_000_000 + 1):
            if over.is_set():
                return
            first += PART_RECORDS
            pq.write_table(part_of(table, first), path, write_page_checksum=True)
            sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
            load_part(connection, dataset, PartFile(path, import_id, part_no, sha256))
            with loaded.get_lock():
                loaded.value += PART_RECORDS


def part_of(table: Table, first: int) -> pa.Table:
    """Return a part of new records, below parents anywhere in the tree of fours, in the order in which parts come."""
    ids = range(first, first + PART_RECORDS)
    parents = sorted(str(random.randrange(table.tree)) for _ in ids)
    return pa.table(
        {
            "_batch": pa.array([place // 200 + 1 for place in range(PART_RECORDS)], pa.int32()),
            "_row": pa.array([place + 1 for place in range(PART_RECORDS)], pa.int64()),
            "id": [str(one) for one in ids],
            "parentId": parents,
            "name": [f"Record number {one}" for one in ids],
            "kind": [f"kind {one % 7}" for one in ids],
            "amount": pa.array([one % 100000 for one in ids], pa.int32()),
            "note": [f"What is to be said of the record number {one}" for one in ids],
        }
    )


@contextmanager
def loading(table: Table, root: Path, folder: Path, loads: int) -> Iterator[Callable[[], float]]:
    """Load in so many processes during the block; yield a function for the records that they loaded a second so far."""
    processes = multiprocessing.get_context("spawn")
    over, loaded = processes.Event(), processes.Value("q", 0)
    import_id = new_import(table.url)
    at_work = [
        processes.Process(target=load_on, args=(table, root, folder, import_id, number, over, loaded))
        for number in range(loads)
    ]
    for process in at_work:
        process.start()
    try:
        while loaded.value < loads * PART_RECORDS:
            if not all(process.is_alive() for process in at_work):
                raise RuntimeError("A load ended before it loaded anything.")
            time.sleep(0.05)
        began, before = time.perf_counter(), loaded.value

        def speed() -> float:
            while loaded.value == before:  # a part counts once it is loaded
                time.sleep(0.05)
            return float(loaded.value - before) / (time.perf_counter() - began)

        yield speed
        if not all(process.is_alive() for process in at_work):
            raise RuntimeError("A load ended too early.")
    finally:
        over.set()
        for process in at_work:
            process.join()
