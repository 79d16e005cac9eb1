"""What a small import costs beside others: alone, beside a large file of another dataset, and beside a long queue of them.

The others are a file of a million records, and then 500 of a thousand, all of one dataset; the small ones, of a thousand, go
into another dataset, one after the other. Seconds are from the upload's acceptance to the last state, by the ledger's clock.

    python -m benchmarks.fairness [--queued 500] [--large 1000000] [--rounds 5] [--keep FILE]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import data, measure
from benchmarks.scale import a_stack, warm
from pipeline.client.api import Client
from pipeline.contracts.options import Options
from pipeline.contracts.states import State
from pipeline.settings import ROOT

SMALL = "small"
SMALL_RECORDS = 1_000
UNDER_WAY = (State.VALIDATING, State.PREPARING, State.LOADING)


class Bench:
    """A stack with two datasets, and a client of it."""

    def __init__(self, client: Client, folder: Path) -> None:
        self._client = client
        self._folder = folder
        self._made = 0

    def send(self, dataset: str, records: int) -> str:
        """Upload a file of so many records, of bytes that were never seen before; its import's id."""
        self._made += 1
        file = data.make_file(self._folder / f"{self._made}.csv", records, shuffled=True)
        file.write_bytes(file.read_bytes() + b"\n" * self._made)
        made = self._client.upload(file, dataset, options=Options(force=True))
        file.unlink()
        return str(made["id"])

    def state(self, import_id: str) -> State:
        """Where an import stands."""
        return State(self._client.get(import_id)["state"])

    def small(self, rounds: int, *, while_: Callable[[], bool] = lambda: True) -> list[float]:
        """The seconds of as many small imports, one after the other, as long as ``while_`` holds."""
        seconds = []
        for _ in range(rounds):
            if not while_():
                break
            one = self._client.wait(self.send(SMALL, SMALL_RECORDS), timeout=600)
            if one["state"] != State.SUCCEEDED:
                raise RuntimeError(f"A small import ended as {one['state']}: {one['reason']}")
            if while_():
                seconds.append(_seconds(one))
        return seconds


def _seconds(one: dict[str, Any]) -> float:
    began, ended = (datetime.fromisoformat(one[name]) for name in ("created_at", "finished_at"))
    return (ended - began).total_seconds()


@contextmanager
def _bench() -> Iterator[Bench]:
    with tempfile.TemporaryDirectory(prefix="bulkhead-bench-") as scratch:
        folder, root = Path(scratch), Path(scratch) / "root"
        data.make_dataset(root, ROOT, data.DATASET, SMALL)
        with a_stack(folder / "home", root) as stack:
            client = Client(stack.environment["BULKHEAD_URL"], stack.environment["BULKHEAD_API_KEY"])
            warm(client, folder)
            yield Bench(client, folder)


def measured(queued: int, large: int, rounds: int) -> dict[str, Any]:
    """Medians in seconds, and how many times the solo time the others are."""
    with _bench() as bench:
        bench.small(2)  # the first ones warm what a warm stack has warm
        solo = bench.small(rounds)
        first = bench.send(data.DATASET, large)
        while bench.state(first) is State.QUEUED:
            time.sleep(0.05)
        beside_large = bench.small(100, while_=lambda: bench.state(first) in UNDER_WAY)
        last = [bench.send(data.DATASET, SMALL_RECORDS) for _ in range(queued)][-1]
        beside_many = bench.small(rounds, while_=lambda: not bench.state(last).is_final)
    found = {"solo": solo, "beside_a_large_file": beside_large, "beside_a_long_queue": beside_many}
    medians = {name: round(median(seconds), 3) for name, seconds in found.items() if seconds}
    return {
        "queued": queued,
        "large_records": large,
        "imports": {name: len(seconds) for name, seconds in found.items()},
        "median_seconds": medians,
        "slowest_seconds": {name: round(max(seconds), 3) for name, seconds in found.items() if seconds},
        "times_solo": {name: round(seconds / medians["solo"], 2) for name, seconds in medians.items() if name != "solo"},
    }


def main() -> None:
    """Measure, print, and with --keep write results/fairness.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queued", type=int, default=500, help="files of the other dataset")
    parser.add_argument("--large", type=int, default=1_000_000, help="records of the first one")
    parser.add_argument("--rounds", type=int, default=5, help="small imports of which the median is taken")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="write what was found, as JSON")
    asked = parser.parse_args()
    found = measured(asked.queued, asked.large, asked.rounds)
    for name, value in found.items():
        shown = "  ".join(f"{key} {one}" for key, one in value.items()) if isinstance(value, dict) else f"{value:,}"
        print(f"{name:16} {shown}")
    if asked.keep:
        measure.keep(asked.keep, found)


if __name__ == "__main__":
    main()
