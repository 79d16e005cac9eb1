"""The benchmarks run; what they measure is not tested."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


MOST_MIB = 96
"""Memory that a shape may need beside that of the same records as ids and parents; at 200,000 records it was 55 at most."""


@pytest.mark.early
def test_a_small_version_of_the_shapes_benchmark_runs_and_their_memory_is_bounded(tmp_path: Path) -> None:
    kept = tmp_path / "shapes.json"
    small = ["--records", "20000", "--rounds", "1", "--keep", str(kept)]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.shapes", *small], cwd=ROOT, capture_output=True, text=True, check=False, timeout=400
    )
    assert done.returncode == 0 or "times a plain file" in done.stderr, done.stderr
    found = json.loads(kept.read_text(encoding="utf-8"))
    assert {row["records"] for name, row in found.items() if name != "machine"} == {20000}
    more = {name: row["peak_mib"] - row["plain_peak_mib"] for name, row in found.items() if name != "machine"}
    assert {name: mib for name, mib in more.items() if mib > MOST_MIB} == {}


@pytest.mark.early
def test_a_small_version_of_the_validation_benchmark_runs(tmp_path: Path) -> None:
    kept = tmp_path / "validation.json"
    small = ["--records", "2000", "--large", "4000", "--rounds", "1", "--keep", str(kept)]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.validation", *small],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(kept.read_text(encoding="utf-8"))
    assert found["bad"]["errors"] == 4000
    assert {shape: row["errors"] for shape, row in found["shapes"].items()} == {
        "flat": 0, "star": 0, "chain": 0, "ring": 1, "pairs": 200,
    }  # fmt: skip
    assert found["large"]["records"] == 4000 and found["clean"]["tree"]["ratio"] > 0
