"""A process ends at once, with its output and its exit functions, but without finalising Python."""

from __future__ import annotations

import subprocess
import sys

from pipeline.settings import ROOT

PROGRAM = """
import atexit, threading, time
from pipeline import processes

class Left:
    def __del__(self):
        print("finalised")

left = Left()
atexit.register(print, "exit function")
threading.Thread(target=lambda: (time.sleep(0.2), print("thread"))).start()
print("output")
processes.end_at_once(3)
"""


def test_it_ends_with_its_output_and_exit_functions_and_is_not_finalised() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (3, "")
    assert done.stdout.splitlines() == ["output", "thread", "exit function"]
