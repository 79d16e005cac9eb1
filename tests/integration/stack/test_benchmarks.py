"""The benchmarks of the real parts run; what they measure is not tested, apart from the memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import scale

pytestmark = pytest.mark.early

ROOT = Path(__file__).resolve().parents[3]


def run(name: str, folder: Path, *options: str) -> Any:
    """What the benchmark kept."""
    kept = folder / "kept.json"
    command = [sys.executable, "-m", f"benchmarks.{name}", *options, "--keep", str(kept)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=840)
    assert done.returncode == 0, done.stderr
    return json.loads(kept.read_text(encoding="utf-8"))


@pytest.mark.thorough
def test_a_small_version_of_the_loading_benchmark_runs(tmp_path: Path) -> None:
    found = run("loading", tmp_path, "--records", "3000", "--rounds", "1", "--part-records", "400,1000", "--connections", "1,2")
    assert found["waves"]["parts of 400"] > 1
    assert {"floor", "as it came", "parts of 400, 1 connections", "parts of 1000, a row group a batch, 2 connections"} < set(
        found["loads"]
    )
    assert all(one["seconds"] > 0 for one in found["loads"].values())


@pytest.mark.thorough
def test_a_small_version_of_the_audit_benchmark_runs(tmp_path: Path) -> None:
    found = run("audit", tmp_path, "--records", "3000", "--rounds", "1")
    for name in ("plain", "ruled"):
        assert (found[name]["errors"], found[name]["seconds"] > found[name]["export_seconds"] > 0) == (0, True)


@pytest.mark.thorough
def test_a_small_version_of_the_scale_benchmark_runs(tmp_path: Path) -> None:
    one = run("scale", tmp_path, "--records", "3000")["imports"]["3000"]
    assert {"upload", "validating", "preparing", "loading"} <= set(one["seconds_in"])
    assert one["temporal"]["import"]["events"] > 10 and one["temporal"]["import"]["bytes"] > 1000
    assert one["objects"]["number"] > 5
    for name in ("worker", "web", "relay", "PostgreSQL", "SeaweedFS", "Temporal"):
        assert one["peak_rss_mb"][name] >= (one["peak_pss_mb"][name] or 0) > 0


@pytest.mark.thorough
def test_a_small_version_of_the_fairness_benchmark_runs(tmp_path: Path) -> None:
    found = run("fairness", tmp_path, "--queued", "6", "--large", "20000", "--rounds", "2")
    assert found["imports"]["solo"] == 2
    assert found["median_seconds"]["solo"] > 0


@pytest.mark.thorough
def test_a_small_version_of_the_benchmark_beside_others_runs(tmp_path: Path) -> None:
    names = ["bare upsert", "bare upsert, again", "bare upsert, two connections", "Bulkhead", "Bulkhead, again"]
    found = run("peers", tmp_path, "--records", "3000", "--rounds", "1", "--only", *names)
    assert list(found["orders"]) == ["shuffled", "parents first"]
    for times in found["orders"].values():
        assert list(times) == names
        assert times["bare upsert"]["ratio"] == 1 and all(one["seconds"] > 0 for one in times.values())


@pytest.mark.thorough
def test_a_small_version_of_the_benchmark_of_uploads_runs(tmp_path: Path) -> None:
    found = run("uploads", tmp_path, "--megabytes", "20", "--rounds", "1")
    assert list(found["ways"]) == ["boto3", "API body", "signed parts"]
    assert found["ways"]["boto3"]["share_of_boto3"] == 1 and found["web_pss_mb"] > 0


@pytest.mark.thorough
def test_a_small_version_of_the_benchmark_of_latency_runs(tmp_path: Path) -> None:
    stages = run("latency", tmp_path, "--records", "300", "--rounds", "2")["stages"]
    steps = {"upload", "event, Lambda, queue", "validate", "prepare", "load_part", "finish", "between the steps"}
    assert set(stages) == {"upload to succeeded", "until the upload is answered", *steps}
    assert all(0 < one["median_ms"] <= one["max_ms"] for one in stages.values())
    assert stages["upload to succeeded"]["max_ms"] >= max(stages[name]["median_ms"] for name in steps)


@pytest.mark.thorough
def test_a_small_version_of_the_benchmark_of_pages_runs(tmp_path: Path) -> None:
    found = run("pages", tmp_path, "--records", "20000", "--findings", "3000", "--rounds", "2")
    assert found["findings"]["errors"] >= 3000
    assert {"circular_reference", "missing_parent"} < set(found["findings"]["by_code"])
    times = found["milliseconds"]
    assert {"upload", "findings, a rare code", "record, a leaf", "SQL, run", "API children"} < set(times)
    assert all(0 < one["p50"] <= one["p95"] <= one["max"] for one in times.values())


def test_memory_is_that_of_a_process_and_all_it_started() -> None:
    most = 100 << 20
    hold = f"import sys, time; held = b'x' * {most}; print(len(held), flush=True); time.sleep(60)"
    nested = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {hold!r}])"
    with subprocess.Popen([sys.executable, "-c", nested], stdout=subprocess.PIPE, start_new_session=True) as process:
        try:
            assert process.stdout is not None and process.stdout.readline()
            seen = scale.memory_of(process.pid)
        finally:
            os.killpg(process.pid, 9)
    assert seen.rss > most
    assert seen.pss is not None and most < seen.pss <= seen.rss


def test_a_broken_limit_is_said() -> None:
    peaks = {"worker": 1501, "web": 300}
    assert scale.broken({"records": 7, "peak_pss_mb": peaks, "peak_rss_mb": peaks}) == [
        "7 records: the worker needed 1,501 MB; it may have 1,500."
    ]
    unknown = {"records": 7, "peak_pss_mb": {"worker": None, "web": None}, "peak_rss_mb": {"worker": 1, "web": 301}}
    assert scale.broken(unknown) == ["7 records: the web needed 301 MB; it may have 300."]
