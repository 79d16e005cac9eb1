"""What a shape costs: the validation of a file in that shape, divided by that of the same records as ids and parents.

    python -m benchmarks.shapes [--records 200000] [--rounds 3] [--only NAME ...] [--keep FILE]

Seconds are processor seconds of the child that validates (getrusage), so that they hold on a machine that does other work too.
Both files are in the same format, and are validated in turn. Exit code 1 if a shape takes more than twice as much.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import data, measure
from benchmarks.shape_files import SHAPES, tree, write
from pipeline.contracts.options import Options
from pipeline.datasets.dataset import Dataset, load_dataset
from pipeline.sandbox import process
from pipeline.settings import ROOT

MOST = 2.0


def dataset_in(folder: Path) -> Dataset:
    """Return the dataset of the other benchmarks without its rule that ids are numbers."""
    data.make_dataset(folder, ROOT)
    suite = folder / "expectations" / f"{data.DATASET}.json"
    said = json.loads(suite.read_text(encoding="utf-8"))
    said["expectations"] = [
        one for one in said["expectations"] if one["kwargs"].get("column") != "id" or "regex" not in one["kwargs"]
    ]
    suite.write_text(json.dumps(said), encoding="utf-8")
    return load_dataset(data.DATASET, folder)


def validation_of(file: Path, dataset: Dataset, shape: dict[str, Any]) -> measure.Cost:
    """Return what a validation takes. Raises RuntimeError if the file has errors: then something else is measured."""
    cost = measure.validation_of(file, dataset, Options(shape=shape))
    if cost.errors:
        raise RuntimeError(f"{cost.errors:,} errors were found; there are none.")
    return cost


def measured(name: str, dataset: Dataset, records: int, rounds: int, folder: Path) -> dict[str, object]:
    """Measure one shape beside the plain file."""
    shaped, plain = write(name, [*tree(records)], folder)
    seen = [(validation_of(shaped, dataset, SHAPES[name].shape), validation_of(plain, dataset, {})) for _ in range(rounds)]
    return {
        "records": records,
        "megabytes": round(shaped.stat().st_size / 1e6, 1),
        "cpu_seconds": round(median(own.cpu_seconds for own, _ in seen), 2),
        "plain_cpu_seconds": round(median(other.cpu_seconds for _, other in seen), 2),
        "ratio": round(median(own.cpu_seconds / other.cpu_seconds for own, other in seen), 2),
        "peak_mib": max(own.peak_mib for own, _ in seen),
        "plain_peak_mib": max(other.peak_mib for _, other in seen),
    }


def main() -> None:
    """Measure, print, and with --keep write results/shapes.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="*", metavar="NAME", choices=[*SHAPES])
    parser.add_argument("--keep", type=Path, metavar="FILE", help="write what was found, as JSON")
    asked = parser.parse_args()
    found: dict[str, dict[str, object]] = {}
    with tempfile.TemporaryDirectory(prefix="bulkhead-bench-") as scratch:
        folder = Path(scratch)
        dataset = dataset_in(folder / "root")
        process.warm()
        for name in asked.only or SHAPES:
            found[name] = measured(name, dataset, asked.records, asked.rounds, folder)
            print(f"{name:20} " + "  ".join(f"{key} {value:,}" for key, value in found[name].items()), flush=True)
    if asked.keep:
        measure.keep(asked.keep, dict(found))
    slow = [name for name, what in found.items() if float(str(what["ratio"])) > MOST]
    if slow:
        sys.exit(f"More than {MOST:g} times a plain file: {', '.join(slow)}")


if __name__ == "__main__":
    main()
