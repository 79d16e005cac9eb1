"""A file's whole way on the real embedded stack, from an upload through the API to its last state: seconds, memory, history.

The stack has a home and a port of its own, and is gone afterwards, with all that it stored. Exit code 1 if an import does not
succeed whole, or if the worker or the web app, each with all the processes it started, needs more memory than it may have.

    python -m benchmarks.scale [--records 10000,100000,1000000] [--keep FILE]
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client as Temporal

from benchmarks import data, measure
from pipeline.adapters import postgres
from pipeline.client.api import Client
from pipeline.contracts.options import Options
from pipeline.contracts.states import State
from pipeline.contracts.workflows import import_workflow_id, queue_workflow_id
from pipeline.ledger.ledger import Ledger
from pipeline.local import seaweedfs
from pipeline.local.stack import Stack
from pipeline.local.up import local_key
from pipeline.process_environment import environment
from pipeline.settings import ROOT
from pipeline.warehouse import migrate

MOST_MB = {"worker": 1500, "web": 300}
"""Memory that a component's processes may take together, in megabytes, each page counted once (Pss)."""

PRICES = {"S3 write": 0.005e-3, "S3 read": 0.0004e-3, "Temporal action": 50e-6}
"""In dollars each: S3 standard in us-east-1 (PUT, POST, LIST, and GET with HEAD), and Temporal Cloud's first five million."""

ACTIONS = {
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED,
    EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED,
    EventType.EVENT_TYPE_TIMER_STARTED,
}
"""What Temporal Cloud counts as an action, of what we do."""

SAMPLE_SECONDS = 0.5
WAIT_SECONDS = 3 * 3600.0


@dataclass(frozen=True)
class Memory:
    """Of a process and all it started, in bytes: ``pss`` counts a page once, however many of them share it; ``rss`` counts
    it in each. None where the kernel does not tell us."""

    pss: int | None = 0
    rss: int = 0

    def __or__(self, other: Memory) -> Memory:
        """The higher of each."""
        known = self.pss is not None and other.pss is not None
        return Memory(max(self.pss or 0, other.pss or 0) if known else None, max(self.rss, other.rss))


def memory_of(pid: int) -> Memory:
    """What a process and its descendants hold now."""
    pss, rss, told = 0, 0, True
    with suppress(psutil.NoSuchProcess):
        leader = psutil.Process(pid)
        for process in (leader, *leader.children(recursive=True)):
            with suppress(psutil.NoSuchProcess, ProcessLookupError, FileNotFoundError):
                rss += process.memory_info().rss
                try:
                    pss += _pss(process.pid)
                except PermissionError:
                    told = False
    return Memory(pss if told else None, rss)


def _pss(pid: int) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) << 10
    return 0


class Watch(threading.Thread):
    """Looks at every component again and again, and keeps the most it saw."""

    def __init__(self, stack: Stack) -> None:
        super().__init__(daemon=True)
        self.peaks: dict[str, Memory] = {}
        self._pids = {name: process.pid for name, process in stack.processes.items()}
        self._over = threading.Event()

    def run(self) -> None:
        while True:
            for name, pid in self._pids.items():
                self.peaks[name] = self.peaks.get(name, Memory()) | memory_of(pid)
            if self._over.wait(SAMPLE_SECONDS):
                return

    def stop(self) -> dict[str, Memory]:
        """The peaks, by component."""
        self._over.set()
        self.join()
        return self.peaks


def measured(folder: Path, records: int) -> dict[str, Any]:
    """One import of so many records into an empty warehouse, on a stack of its own."""
    file = data.make_file(folder / "scale.csv", records, shuffled=True)
    size = file.stat().st_size
    root = folder / "root"
    data.make_dataset(root, ROOT)
    with a_stack(folder / "home", root) as stack:
        client = Client(stack.environment["BULKHEAD_URL"], stack.environment["BULKHEAD_API_KEY"])
        warm(client, folder)
        watch = Watch(stack)
        watch.start()
        requests = seaweedfs.requests_so_far(stack.home)
        began, began_at = time.perf_counter(), datetime.now(UTC)
        one = client.upload(file, data.DATASET)
        uploaded = time.perf_counter()
        file.unlink()
        one = client.wait(one["id"], timeout=WAIT_SECONDS)
        ended = time.perf_counter()
        peaks = watch.stop()
        demand_success(one, records)
        requests = {kind: number - requests.get(kind, 0) for kind, number in seaweedfs.requests_so_far(stack.home).items()}
        temporal = asyncio.run(_histories(stack, one["id"], records, began_at))
        return {
            "records": records,
            "megabytes": round(size / 1e6, 1),
            "parts": one["parts"]["total"],
            "seconds": round(ended - began, 2),
            "records_per_second": round(records / (ended - began)),
            "microseconds_per_record": round((ended - began) / records * 1e6, 1),
            "seconds_in": {"upload": round(uploaded - began, 2), **seconds_in_states(stack, one["id"])},
            "peak_pss_mb": {name: _mb(peak.pss) for name, peak in sorted(peaks.items())},
            "peak_rss_mb": {name: _mb(peak.rss) for name, peak in sorted(peaks.items())},
            "temporal": temporal,
            "objects": _objects(stack),
            "s3_requests": requests,
            "dollars_per_million_records": _dollars(requests, sum(one["actions"] for one in temporal.values()), records),
        }


def a_stack(home: Path, root: Path) -> Stack:
    """All of it, with the one dataset."""

    def prepare(given: Mapping[str, str]) -> Mapping[str, str]:
        migrate.migrate(given["DATABASE_URL"], owner=given["BULKHEAD_MIGRATION_DATABASE_URL"], root=root)
        return {"BULKHEAD_API_KEY": local_key(home, given["DATABASE_URL"])[0]}

    own = {"BULKHEAD_DATASETS_ROOT": str(root), "PYTHONPATH": str(ROOT)}
    return Stack(home, environ={**environment(), **own}, prepare=prepare)


def warm(client: Client, folder: Path) -> None:
    """A worker that has just been started loads Great Expectations beside its first file: a dry run of a small one."""
    first = client.upload(data.make_file(folder / "first.csv", 100), data.DATASET, options=Options(dry_run=True))
    client.wait(first["id"], timeout=600)


def demand_success(one: Mapping[str, Any], records: int) -> None:
    if (one["state"], one["counts"]["inserted"], one["counts"]["total"]) != (State.SUCCEEDED, records, records):
        raise RuntimeError(f"The import of {records:,} records ended as {one['state']}: {one['counts']} {one.get('reason')}")


def seconds_in_states(stack: Stack, import_id: str) -> dict[str, float]:
    """How long the import was in each state, by the ledger."""
    engine = postgres.connect(stack.environment["BULKHEAD_MIGRATION_DATABASE_URL"], pool_size=1)
    try:
        moves = Ledger(engine).imports.moves(import_id)
    finally:
        engine.dispose()
    return {this.to_state: round((after.at - this.at).total_seconds(), 2) for this, after in pairwise(moves)}


async def _histories(stack: Stack, import_id: str, records: int, since: datetime) -> dict[str, Any]:
    """Events and bytes of the import's workflow and of its dataset's queue, over all their runs ``since`` then."""
    client = await Temporal.connect(stack.environment["TEMPORAL_ADDRESS"], namespace=stack.environment["TEMPORAL_NAMESPACE"])
    found: dict[str, Any] = {}
    for name, workflow_id in (("import", import_workflow_id(import_id)), ("queue", queue_workflow_id(data.DATASET))):
        runs = [run async for run in client.list_workflows(f"WorkflowId = '{workflow_id}'") if run.start_time >= since]
        handles = [client.get_workflow_handle(workflow_id, run_id=run.run_id) for run in runs]
        infos = [(await handle.describe()).raw_description.workflow_execution_info for handle in handles]
        histories = [await handle.fetch_history() for handle in handles]
        events, size = sum(info.history_length for info in infos), sum(info.history_size_bytes for info in infos)
        found[name] = {
            "runs": len(infos),
            "events": events,
            "bytes": size,
            "actions": sum(event.event_type in ACTIONS for history in histories for event in history.events),
            "events_per_million_records": round(events / records * 1e6),
            "bytes_per_million_records": round(size / records * 1e6),
        }
    return found


def _dollars(requests: Mapping[str, int], actions: int, records: int) -> dict[str, float]:
    """What the requests and actions would cost on AWS and in Temporal Cloud, by their list prices."""
    kinds = {kind: "S3 read" if kind == "GET" else "S3 write" for kind in requests if kind != "DELETE"}  # those are free
    s3 = sum(requests[kind] * PRICES[price] for kind, price in kinds.items())
    return {
        "s3": round(s3 / records * 1e6, 5),
        "temporal": round(actions * PRICES["Temporal action"] / records * 1e6, 5),
    }


def _objects(stack: Stack) -> dict[str, Any]:
    """What lies in S3 at the end: each object was put once, and of the parts each was fetched once."""
    stored = list(seaweedfs.store(stack.home).list(""))
    return {"number": len(stored), "megabytes": round(sum(one.size_bytes for one in stored) / 1e6, 1)}


def _mb(size: int | None) -> int | None:
    return None if size is None else round(size / 1e6)


def broken(found: Mapping[str, Any]) -> list[str]:
    """Which limits of memory were broken, in words. Where Pss is not told, the sum of all RSS must do."""
    said = []
    for name, most in MOST_MB.items():
        pss = found["peak_pss_mb"][name]
        needed = found["peak_rss_mb"][name] if pss is None else pss
        if needed > most:
            said.append(f"{found['records']:,} records: the {name} needed {needed:,} MB; it may have {most:,}.")
    return said


def main() -> int:
    """Measure, print, and with --keep write results/scale.json; 1 if a limit was broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--records", type=_numbers, default=[10_000, 100_000, 1_000_000], help="how many, of one or more imports"
    )
    parser.add_argument("--keep", type=Path, metavar="FILE", help="write what was found, as JSON")
    asked = parser.parse_args()
    found: dict[str, dict[str, Any]] = {}
    for records in asked.records:
        with tempfile.TemporaryDirectory(prefix="bulkhead-bench-") as scratch:
            found[str(records)] = measured(Path(scratch), records)
        _show(found[str(records)])
        if asked.keep:
            measure.keep(asked.keep, {"imports": found})
    faults = [fault for one in found.values() for fault in broken(one)]
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


def _numbers(text: str) -> list[int]:
    return [int(one) for one in text.split(",")]


def _show(found: Mapping[str, Any]) -> None:
    for name, value in found.items():
        shown = "  ".join(f"{key} {one}" for key, one in value.items()) if isinstance(value, dict) else f"{value:,}"
        print(f"{name:24} {shown}")
    print(flush=True)


if __name__ == "__main__":
    sys.exit(main())
