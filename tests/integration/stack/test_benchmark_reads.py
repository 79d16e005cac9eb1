"""The benchmark of reads runs, on a PostgreSQL of its own; what it measures is not tested."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def test_a_small_version_runs_and_goes_by_the_index(tmp_path: Path) -> None:
    kept = tmp_path / "reads.json"
    small = ["--records", "50000", "--rounds", "20", "--scans", "1", "--loads", "1", "--keep", str(kept)]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.reads", *small], cwd=ROOT, capture_output=True, text=True, check=False, timeout=720
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(kept.read_text(encoding="utf-8"))
    for state in ("quiet", "loading"):
        plans = [one["plan"] for one in found[state].values() if isinstance(one, dict) and "plan" in one]
        assert len(plans) == 6 and not any("Seq Scan" in plan for plan in plans)
    assert "Index Only Scan on bench_parentId_id" in found["quiet"]["counts of 50 parents"]["plan"]
    assert "bench_parentId_id" not in found["index"]["without"]["plan"]
    assert found["loaded_a_second"] > 0 and found["index"]["ratio"] > 1
