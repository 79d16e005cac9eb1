"""Let a test that is marked ``alone`` run while no other process of the run is in a test.

Each test holds a shared lock, one that is alone an exclusive one. All pass a gate first, which a test that wants to be alone
keeps closed while it waits, so that the others cannot starve it.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def turn(folder: Path, *, alone: bool) -> Iterator[None]:
    """Wait until this test may run, together with others or alone; ``folder`` is the same for all processes of the run."""
    with _locked(folder / "gate", fcntl.LOCK_EX) as gate, _locked(folder / "turn", fcntl.LOCK_EX if alone else fcntl.LOCK_SH):
        if not alone:
            fcntl.lockf(gate, fcntl.LOCK_UN)
        yield


@contextmanager
def _locked(path: Path, kind: int) -> Iterator[int]:
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.lockf(file, kind)
        yield file
    finally:
        os.close(file)  # the lock goes with it
