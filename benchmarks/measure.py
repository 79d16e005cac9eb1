"""Seconds and bytes: of a child process that validates, and of the machine."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import resource
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import duckdb
import psutil

from benchmarks.data import COLUMNS
from pipeline.contracts.options import Options
from pipeline.datasets.dataset import Dataset
from pipeline.prepare.manifest import BatchSizes
from pipeline.sandbox import audit_table, process, validate_file

PLAIN = Options()
LIMITS = {"memory_bytes": 8 << 30, "seconds": 3600.0}


@dataclass(frozen=True)
class Cost:
    """What one validation took; ``peak_mib`` is the child's resident memory, Great Expectations included.

    ``cpu_seconds`` are those of the child (getrusage): they hold on a machine that does other work too.
    """

    seconds: float
    peak_mib: int
    errors: int
    cpu_seconds: float


def validation_of(file: Path, dataset: Dataset, options: Options = PLAIN) -> Cost:
    """Validate a file as a warm worker does, in a child of the sandbox, with nothing in the warehouse."""
    with tempfile.TemporaryDirectory(dir=file.parent) as folder:
        (Path(folder) / validate_file.SOURCE).symlink_to(file)
        began = time.perf_counter()
        peak, errors, cpu = process.run(validated, Path(folder), dataset, options, **LIMITS, answer=lambda parents: None)
        return Cost(time.perf_counter() - began, peak, errors, cpu)


def validated(folder: Path, dataset: Dataset, options: Options, ask: validate_file.Ask) -> tuple[int, int, float]:
    """Runs in the child: peak memory in MiB, the number of errors, and processor seconds."""
    before = cpu_seconds()
    counted = validate_file.validate(folder, dataset, "bench.csv", "bench", None, options, ask)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10, counted.errors, cpu_seconds() - before


def cpu_seconds() -> float:
    """Return the processor seconds of this process and its threads, the system's on its behalf included."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def cut(folder: Path, dataset: Dataset, cutting: BatchSizes, ask: validate_file.Ask) -> None:
    """Runs in the child: the parts of a file, validated before as ever."""
    validate_file.validate(folder, dataset, "bench.csv", "bench", cutting, Options(), ask)


def audited(folder: Path, dataset: Dataset, records: int, longest_bytes: int) -> tuple[int, int]:
    """Runs in the child: peak memory in MiB, and the number of errors."""
    counted = audit_table.audit(folder, dataset, "bench", records, longest_bytes)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10, counted.errors


def floor_of(file: Path) -> float:
    """Seconds that DuckDB alone takes to read the file into typed columns, and to aggregate over ``id`` by hash.

    In a child of the same kind as a validation's: what either pays for a process and a database of its own, both pay.
    """
    began = time.perf_counter()
    process.run(read_and_aggregate, file, **LIMITS)
    return time.perf_counter() - began


def warm_floor_of(file: Path) -> float:
    """The same in this process, whose memory and code are warm already: what no child can reach."""
    began = time.perf_counter()
    read_and_aggregate(file)
    return time.perf_counter() - began


def read_and_aggregate(file: Path) -> None:
    """Runs in the child: what no validation of a file can do without."""
    kinds = ", ".join(f"'{name}': '{kind}'" for name, kind in COLUMNS.items())
    with duckdb.connect(config={"threads": "2"}) as connection:
        connection.execute(
            f"""create table records as select * from read_csv('{file}', columns = {{{kinds}}}, auto_detect = false,
                header = true, delim = ',', quote = '"', escape = '"', new_line = '\\n')"""
        )
        connection.execute("select count(*) from (select id, count(*) from records group by id)").fetchall()


def alternating(rounds: int, **measured: Callable[[], float]) -> dict[str, float]:
    """The median seconds of each, measured in turn so that a slow spell of the machine meets them all."""
    seen: dict[str, list[float]] = {name: [] for name in measured}
    for _ in range(rounds):
        for name, once in measured.items():
            seen[name].append(once())
    return {name: median(values) for name, values in seen.items()}


def machine() -> dict[str, object]:
    """On what, and with which versions, something was measured."""
    parts = ("duckdb", "great_expectations", "pyarrow", "sqlalchemy", "psycopg", "temporalio")
    return {
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / (1 << 30)),
        "python": platform.python_version(),
        **{part: importlib.metadata.version(part) for part in parts},
    }


def keep(file: Path, found: dict[str, object]) -> None:
    """Write what was found, and on what machine."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"machine": machine(), **found}, indent=1) + "\n", encoding="utf-8")
