"""`make demo`, as a newcomer runs it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from pipeline.local.demo_data import places

pytestmark = pytest.mark.early

ROOT = Path(__file__).resolve().parents[2]


def test_the_demo_shows_what_it_promises_and_leaves_nothing(tmp_path: Path) -> None:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("BULKHEAD_", "AWS_", "TEMPORAL_", "DATABASE_"))}
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.cli.demo"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**kept, "TMPDIR": str(tmp_path)},
        timeout=720,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    count = f"{sum(1 for _ in places()):,}"
    for shown in (
        f"{count} inserted",
        f"{count} unchanged",
        "FR-ARA",
        "conflicting_duplicate",
        "missing_parent",
        "XC-1 → ",
    ):
        assert shown in done.stdout, done.stdout
    last = done.stdout.rstrip().splitlines()[-1].strip()
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/imports/[0-9a-f-]{36}", last), last
    assert list(tmp_path.iterdir()) == []
    assert [line for p in psutil.process_iter() if str(tmp_path) in (line := command_of(p))] == []


def command_of(process: psutil.Process) -> str:
    try:
        return " ".join([*process.cmdline(), process.environ().get("BULKHEAD_HOME", "")])
    except psutil.Error:
        return ""
