"""One stack of real servers for all processes of a test run.

The first process that needs it starts a keeper (this module, run as a program), which owns the servers. Each process holds a
shared lock on a file for as long as it uses them; the keeper stops the servers when it gets that lock for itself. The kernel
gives a lock back however its holder ends, so neither a worker that dies nor one that starts late leaves servers behind or
goes without.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from filelock import FileLock

from pipeline.local import postgres, seaweedfs, temporal
from pipeline.local.component import Component
from pipeline.local.home import Home
from pipeline.local.stack import SERVERS, Stack
from pipeline.settings import ROOT
from tests.support.temporal_server import NO_SYNC

START_SECONDS = 300.0
STOP_SECONDS = 30.0
LOOK_SECONDS = 0.2
WITHOUT_DURABILITY = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off", "max_connections": "200"}
"""Nothing of the shared server has to survive a power failure. Tests of durability start stacks of their own."""

FRUGAL = (
    *(f"--dynamic-config-value=matching.numTaskqueue{kind}Partitions=1" for kind in ("Read", "Write")),
    '--dynamic-config-value=matching.maxTaskQueueIdleTime="30s"',
    "--dynamic-config-value=worker.perNamespaceWorkerCount=0",
)
"""Options for a Temporal server of many tests: each has a namespace and some twenty task queues. The server's own workers for a
namespace, which run schedules and batches, poll for as long as it exists, and take 0.001 of a core each."""


@dataclass(frozen=True)
class Server:
    """A server that another process looks after."""

    pid: int


class SharedStack:
    """The servers as a test sees them: the same two attributes as of ``pipeline.local.stack.Stack``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = Home(folder / "home")
        self.processes: Mapping[str, Server] = {
            name: Server(pid) for name, pid in json.loads(_ready(folder).read_text(encoding="utf-8")).items()
        }

    def once(self, name: str) -> FileLock:
        """Return a lock that all processes of the run share, for what only one of them is to do."""
        return FileLock(self.folder / f"{name}.lock")


@contextmanager
def joined(folder: Path) -> Iterator[SharedStack]:
    """Use the run's stack, starting it if no other process has; the last one to leave waits until it is stopped."""
    users = _join(folder)
    try:
        yield SharedStack(folder)
    finally:
        is_last = _is_free(users)
        os.close(users)
        if is_last:
            _wait_until_gone(folder)


def _join(folder: Path) -> int:
    """Return the open file whose shared lock keeps the servers running."""
    while True:
        folder.mkdir(mode=0o711, parents=True, exist_ok=True)
        users = os.open(folder / "users", os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.lockf(users, fcntl.LOCK_SH)
        if _is_still(users, folder / "users"):
            break
        os.close(users)  # a keeper has just removed the folder
    with FileLock(folder / "start.lock"):
        if not _ready(folder).exists():
            _start_keeper(folder)
    return users


def _is_still(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _is_free(users: int) -> bool:
    """Return whether no other process holds the lock; the keeper, which tries now and then, may make it look held."""
    for _ in range(5):
        try:
            fcntl.lockf(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            time.sleep(0.01)
        else:
            return True
    return False


def _start_keeper(folder: Path) -> None:
    log = folder / "keeper.log"
    with log.open("ab") as out:
        keeper = subprocess.Popen(
            [sys.executable, "-m", "tests.support.shared_stack", str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            cwd=ROOT,
            start_new_session=True,
        )
    until = time.monotonic() + START_SECONDS
    while not _ready(folder).exists():
        assert keeper.poll() is None and time.monotonic() < until, f"no servers:\n{log.read_text(errors='replace')[-4000:]}"
        time.sleep(0.05)
    keeper.returncode = 0  # it ends by itself, perhaps after this process: nothing here is to wait for it


def _wait_until_gone(folder: Path) -> None:
    until = time.monotonic() + STOP_SECONDS
    while folder.exists() and time.monotonic() < until:
        time.sleep(0.05)


def _ready(folder: Path) -> Path:
    """The file that says that the servers answer: the process id of each by its name."""
    return folder / "ready.json"


def _forgo_durability() -> None:
    """Have this process's servers wait for no disk, and Temporal's keep less of each test."""
    postgres._SETTINGS.update(WITHOUT_DURABILITY)
    seaweedfs._NOTIFY = seaweedfs._NOTIFY.replace("enabled = true", "enabled = false")  # no relay is there to take an event
    durable = temporal.temporal

    def hasty(home: Home) -> Component:
        described = durable(home)
        return replace(described, command=[*described.command, NO_SYNC, *FRUGAL])

    temporal.temporal = hasty


def keep(folder: Path) -> None:
    """Run the servers until no process uses them; remove the folder."""
    _forgo_durability()
    users = os.open(folder / "users", os.O_RDWR)
    try:
        with Stack(folder / "home", components=SERVERS) as stack:
            written = _ready(folder).with_suffix(".new")
            written.write_text(json.dumps({name: process.pid for name, process in stack.processes.items()}), encoding="utf-8")
            written.replace(_ready(folder))
            while not _taken(users):
                time.sleep(LOOK_SECONDS)
            _ready(folder).unlink()
            _end_at_once(stack)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _end_at_once(stack: Stack) -> None:
    """What these two hold is thrown away; asked politely, SeaweedFS takes ten seconds. PostgreSQL has memory to give back."""
    for name in ("SeaweedFS", "Temporal"):
        os.kill(stack.processes[name].pid, signal.SIGKILL)


def _taken(users: int) -> bool:
    """Take the lock if no process uses the servers."""
    try:
        fcntl.lockf(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


if __name__ == "__main__":
    keep(Path(sys.argv[1]))
