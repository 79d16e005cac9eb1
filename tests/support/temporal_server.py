"""A Temporal server of a test's own, for what the shared one does not do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from pipeline.local import temporal
from pipeline.local.home import Home
from pipeline.local.supervisor import Supervisor

NO_SYNC = "--sqlite-pragma=synchronous=OFF"
"""No history of a test has to survive a power failure."""


@contextmanager
def temporal_server(folder: Path, *options: str) -> Iterator[str]:
    """Run a server with these options besides the usual ones for as long as the block lasts, and return its address."""
    home = Home(folder)
    server = temporal.temporal(home)
    supervisor = Supervisor(home.logs, lambda line: None)
    try:
        supervisor.start(replace(server, command=[*server.command, NO_SYNC, *options]))
        yield temporal.address(home)
    finally:
        supervisor.stop()
