"""The benchmarks run; what they measure is not tested."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.real_data.trees import make_file
from benchmarks.rounds import measured, rounds

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


@pytest.mark.thorough
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


@pytest.mark.parametrize(
    ("needs", "workers", "expected"),
    [
        ([0, 1, 1, 1, 1], 1, 5),
        ([0, 1, 1, 1, 1], 2, 3),
        ([0, 1, 1, 1, 1], 8, 2),
        ([0, 1, 2, 3, 4], 8, 5),
        ([0, 0, 0, 2, 2], 2, 3),
        ([], 2, 0),
    ],
)
def test_a_round_takes_what_needs_nothing_more(needs: list[int], workers: int, expected: int) -> None:
    assert rounds(needs, workers) == expected


def test_a_small_version_of_the_benchmark_of_rounds_runs(tmp_path: Path) -> None:
    nodes = [(str(number), str((number - 1) // 3) if number else None, "n", number) for number in range(120_000)]
    file, records = make_file(tmp_path / "records.csv", nodes, seed=1)
    (tmp_path / "spill").mkdir()
    found = measured(file, tmp_path)
    assert records == 120_000
    assert (found["depth first"]["order"], found["by level"]["order"]) == ("depth first", "by level")
    assert (found["depth first"]["parts"], found["by level"]["parts"]) == (4, 3)
    assert found["depth first"]["rounds"]["4"] == 2


@pytest.mark.thorough
@pytest.mark.early
def test_a_small_version_of_the_simulation_runs(tmp_path: Path) -> None:
    kept = tmp_path / "simulation.json"
    small = ["--workers", "1,2", "--seconds", "5", "--records", "200000", "--keep", str(kept)]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.simulation", *small],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(kept.read_text(encoding="utf-8"))
    assert [row["workers"] for row in found["small files"]] == [1, 2]
    assert all(row["files_per_second"] > 0 and row["actions_per_file"] > 0 for row in found["small files"])
    assert all(row["parts_per_second"] > 0 for row in found["one import"])
