"""How the tests are distributed over the processes of a run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from pipeline.settings import ROOT

MODULE = """
import pathlib
import time

import pytest

@pytest.fixture(scope="{scope}")
def made():
    file = pathlib.Path(__file__).with_suffix(".made")
    with file.open("a") as opened:
        opened.write(".")

@pytest.mark.parametrize("number", range(6))
def test_it(made, number):
    time.sleep(0.1)
"""


def test_what_a_module_shares_is_made_once(tmp_path: Path) -> None:
    for scope in ("module", "function"):
        (tmp_path / f"test_{scope}.py").write_text(MODULE.format(scope=scope))
    command = [sys.executable, "-m", "pytest", "-p", "tests.support.schedule", "-n", "2", "--dist", "loadscope", "-q"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_ADDOPTS": ""}
    subprocess.run([*command, "--rootdir", tmp_path, tmp_path], cwd=tmp_path, env=environment, check=True, timeout=60)
    assert (tmp_path / "test_module.made").read_text() == "."
    assert (tmp_path / "test_function.made").read_text() == "......"
