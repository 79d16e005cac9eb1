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

    def __init__(self, environment: dict[str, str], log: Path, *, root: Path = ROOT) -> None:
        self._environment = {**environment, "BULKHEAD_BATCHES_PER_PART": "10", "PYTHONPATH": str(root)}
        self._root = root
        self.log = log
        self.start()

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "pipeline.orchestration.worker"],
                env=self._environment,
                cwd=self._root,
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
        if self._process.poll() is None:
            self._process.terminate()
        return self._process.wait(120)


@contextmanager
def closing_worker(environment: dict[str, str], folder: Path, *, name: str = "worker", root: Path = ROOT) -> Iterator[Worker]:
    """Run a worker process for as long as the block lasts; ``root``: the checkout whose code it runs."""
    worker = Worker(environment, folder / f"{name}.log", root=root)
    try:
        yield worker
    finally:
        worker.stop()
