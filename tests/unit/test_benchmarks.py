"""The benchmarks run; what they measure is not tested."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


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
