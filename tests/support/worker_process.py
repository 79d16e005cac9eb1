"""A worker process that can be killed and started again."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from pipeline.settings import ROOT


class Worker:
    """A worker process that can be killed and started again."""

    def __init__(self, environment: dict[str, str], log: Path) -> None:
        self._environment = {**environment, "BULKHEAD_BATCHES_PER_PART": "10"}
        self.log = log
        self.start()

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "pipeline.orchestration.worker"],
                env=self._environment,
                cwd=ROOT,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The id of the process, and of the process group that it leads."""
        return self._process.pid

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def family(self) -> list[psutil.Process]:
        return [psutil.Process(self._process.pid), *psutil.Process(self._process.pid).children(recursive=True)]

    def stop(self) -> int:
        self._process.terminate()
        return self._process.wait(60)


@contextmanager
def closing_worker(environment: dict[str, str], folder: Path) -> Iterator[Worker]:
    """Run a worker process for as long as the block lasts."""
    worker = Worker(environment, folder / "worker.log")
    try:
        yield worker
    finally:
        worker.stop()
