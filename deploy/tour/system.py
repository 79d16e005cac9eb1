"""One system on this machine: its settings, `bulkhead up`, and the other commands on it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from deploy.tour.telling import NotAsItShouldBe, waited
from pipeline.settings import ROOT

OURS = ("BULKHEAD_", "DATABASE_", "AWS_", "TEMPORAL_", "OTEL_", "OPENLINEAGE_", "GUNICORN_")
"""How variables begin that would make the tour another one on your machine than in CI."""

BULKHEAD = [sys.executable, "-m", "pipeline.cli"]
START_SECONDS, STOP_SECONDS, COMMAND_SECONDS = 180.0, 90.0, 180.0


class System:
    """The system whose data is in ``home``. ``settings`` are environment variables."""

    def __init__(self, home: Path, port: int, settings: Mapping[str, str]) -> None:
        self.home, self.url, self._port = home, f"https://127.0.0.1:{port}", port
        kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
        self._environment = {**kept, "PYTHONPATH": str(ROOT), **settings, "BULKHEAD_HOME": str(home)}

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run `bulkhead up` during the block. Raises NotAsItShouldBe, with the end of its log, if it does not come up."""
        log, said = self.home.with_suffix(".log"), self.home.with_suffix(".json")
        command = [*BULKHEAD, "up", "--port", str(self._port), "--json"]
        with log.open("wb") as err, said.open("wb") as out:
            process = subprocess.Popen(command, env=self._environment, cwd=self.home.parent, stdout=out, stderr=err)
        try:
            waited(lambda: process.poll() is not None or _is_json(said), START_SECONDS, f"bulkhead up runs; see {log}")
            if process.poll() is not None:
                raise NotAsItShouldBe(f"bulkhead up ended with {process.returncode}:\n{log.read_text()[-3000:]}")
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def bulkhead(self, *arguments: str) -> Any:
        """Return what a command prints as JSON. Raises NotAsItShouldBe if it fails."""
        command = [*BULKHEAD, *arguments, "--json"]
        ran = subprocess.run(
            command,
            env=self._environment,
            cwd=self.home.parent,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        if ran.returncode:
            said = f"{ran.stdout[-3000:]}{ran.stderr[-3000:]}"
            raise NotAsItShouldBe(f"bulkhead {' '.join(arguments)} ended with {ran.returncode}:\n{said}")
        return json.loads(ran.stdout)

    @property
    def targets(self) -> Path:
        """Return the file that lists its metrics' addresses for Prometheus."""
        return self.home / "metrics" / "targets.json"

    @property
    def local_key(self) -> str:
        """Return the key of this machine's administrator."""
        return (self.home / "local-key").read_text().strip()


def _is_json(file: Path) -> bool:
    try:
        return isinstance(json.loads(file.read_text()), dict)
    except ValueError:
        return False


def datasets_with_expectation(folder: Path) -> Path:
    """Copy the checkout's datasets, and have a file of places expected every day, so that its absence would be noticed."""
    for name in ("expectations", "sql"):
        shutil.copytree(ROOT / name, folder / name)
    suite = folder / "expectations" / "places.json"
    said = json.loads(suite.read_text(encoding="utf-8"))
    said["meta"]["expect_every"] = "1d"
    suite.write_text(json.dumps(said), encoding="utf-8")
    return folder
