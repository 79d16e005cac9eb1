"""Reading and the whole validation, beside the least that any validation of a file costs: DuckDB's typed read and one hash
aggregate over ``id`` (measure.floor_of). Run it by ``make bench``.

    python -m benchmarks.validation [--records 1000000] [--rounds 5] [--large 10000000] [--keep FILE]
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from statistics import median

from benchmarks import data, measure
from pipeline.datasets.dataset import Dataset, load_dataset
from pipeline.sandbox import process
from pipeline.settings import ROOT

ODD_SHAPES = ("star", "chain", "ring", "pairs")


def clean(folder: Path, dataset: Dataset, records: int, rounds: int) -> dict[str, object]:
    """A clean file in the order of its tree, and one shuffled: seconds, and the ratio to the floor."""
    found: dict[str, object] = {}
    for name, shuffled in (("tree", False), ("tree shuffled", True)):
        file = data.make_file(folder / "clean.csv", records, shuffled=shuffled)
        costs: list[measure.Cost] = []

        def ours(file: Path = file, costs: list[measure.Cost] = costs) -> float:
            costs.append(measure.validation_of(file, dataset))
            return costs[-1].seconds

        def floor(file: Path = file) -> float:
            return measure.floor_of(file)

        def warm(file: Path = file) -> float:
            return measure.warm_floor_of(file)

        times = measure.alternating(rounds, floor=floor, warm=warm, validation=ours)
        found[name] = {
            "records": records,
            "megabytes": round(file.stat().st_size / 1e6, 1),
            "floor_seconds": round(times["floor"], 3),
            "validation_seconds": round(times["validation"], 3),
            "ratio": round(times["validation"] / times["floor"], 2),
            "warm_floor_seconds": round(times["warm"], 3),
            "ratio_to_warm": round(times["validation"] / times["warm"], 2),
            "peak_mib": max(cost.peak_mib for cost in costs),
        }
        file.unlink()
    return found


def shapes(folder: Path, dataset: Dataset, records: int, rounds: int) -> dict[str, object]:
    """Chains, rings, stars and many small circles, as ratios to a flat file of as many records."""
    files = {shape: data.make_file(folder / f"{shape}.csv", records, shape) for shape in ("flat", *ODD_SHAPES)}
    costs: dict[str, list[measure.Cost]] = {shape: [] for shape in files}
    for _ in range(rounds):
        for shape, file in files.items():
            costs[shape].append(measure.validation_of(file, dataset))
    flat = median(cost.seconds for cost in costs["flat"])
    for file in files.values():
        file.unlink()
    return {
        shape: {
            "records": records,
            "seconds": round(median(cost.seconds for cost in seen), 3),
            "ratio_to_flat": round(median(cost.seconds for cost in seen) / flat, 2),
            "errors": seen[0].errors,
            "peak_mib": max(cost.peak_mib for cost in seen),
        }
        for shape, seen in costs.items()
    }


def bad(folder: Path, dataset: Dataset, records: int) -> dict[str, object]:
    """Every record breaks two rules: the report is complete, and memory bounded."""
    cost = measure.validation_of(data.make_file(folder / "bad.csv", records, bad=True), dataset)
    if cost.errors != 2 * records:
        raise RuntimeError(f"{2 * records:,} errors are in the file, {cost.errors:,} were found.")
    return {"records": records, "seconds": round(cost.seconds, 2), "errors": cost.errors, "peak_mib": cost.peak_mib}


def small(folder: Path, dataset: Dataset, rounds: int) -> dict[str, object]:
    """What a file of 1,000 records takes on a warm worker."""
    file = data.make_file(folder / "small.csv", 1000)
    seen = sorted(measure.validation_of(file, dataset).seconds for _ in range(rounds * 3))
    return {"records": 1000, "median_seconds": round(median(seen), 3), "slowest_seconds": round(seen[-1], 3)}


def large(folder: Path, dataset: Dataset, records: int, smaller: dict[str, object]) -> dict[str, object]:
    """A file ten times as large: how time and memory grow."""
    file = data.make_file(folder / "large.csv", records)
    floor, cost = measure.floor_of(file), measure.validation_of(file, dataset)
    before = float(str(smaller["validation_seconds"]))
    return {
        "records": records,
        "megabytes": round(file.stat().st_size / 1e6, 1),
        "floor_seconds": round(floor, 2),
        "validation_seconds": round(cost.seconds, 2),
        "ratio": round(cost.seconds / floor, 2),
        "times_the_smaller": round(cost.seconds / before, 2),
        "peak_mib": cost.peak_mib,
    }


def main() -> None:
    """Measure, print, and with --keep write results/validation.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--large", type=int, default=10_000_000, help="0: leave it out")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--keep", type=Path, metavar="FILE", help="write what was found, as JSON")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bulkhead-bench-") as scratch:
        folder = Path(scratch)
        data.make_dataset(folder / "root", ROOT)
        dataset = load_dataset(data.DATASET, folder / "root")
        process.warm()
        found: dict[str, object] = {"clean": clean(folder, dataset, asked.records, asked.rounds)}
        found["small"] = small(folder, dataset, asked.rounds)
        found["shapes"] = shapes(folder, dataset, asked.records, asked.rounds)
        found["bad"] = bad(folder, dataset, asked.records)
        if asked.large:
            found["large"] = large(folder, dataset, asked.large, found["clean"]["tree"])  # type: ignore[index]
    _show(found)
    if asked.keep:
        measure.keep(asked.keep, found)


def _show(found: dict[str, object]) -> None:
    for name, what in found.items():
        rows = what if all(isinstance(value, dict) for value in what.values()) else {"": what}  # type: ignore[attr-defined]
        for row, values in rows.items():  # type: ignore[attr-defined]
            said = "  ".join(f"{key} {value:,}" for key, value in values.items())
            print(f"{name + ' ' + row:22} {said}")


if __name__ == "__main__":
    main()
