"""Measure the memory of a running server, so that the figure does not depend on what ran before or runs beside it."""

from __future__ import annotations

import re
import threading
from pathlib import Path

import psutil


def anonymous_bytes(pid: int) -> int:
    """Return the anonymous memory (heap and stacks, no mapped files) of a process and its descendants, in bytes.

    Resident or proportional sizes change with the page cache and with other processes that map the same libraries;
    anonymous memory does not (proc_pid_smaps(5)).
    """
    found = 0
    for process in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
        try:
            rollup = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended meanwhile
        kilobytes = re.search(r"^Anonymous:\s+(\d+) kB$", rollup, re.MULTILINE)
        found += int(kilobytes[1]) << 10 if kilobytes else 0
    return found


class Growth:
    """Watch how far a server's memory grows above a mark, until the block ends.

    Call ``mark`` when the request is under way, not before it: which of a server's processes answers is chance, and each
    loads its libraries at its first request of a kind.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._marked: int | None = None
        self._peak = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def mark(self) -> None:
        """Count from here; only the first call has an effect."""
        if self._marked is None:
            self._marked = anonymous_bytes(self._pid)

    @property
    def bytes(self) -> int:
        """The largest growth seen since the mark. Raises AssertionError if nothing was marked."""
        assert self._marked is not None, "the request was over before it was marked"
        return max(self._peak, self._marked) - self._marked

    def _watch(self) -> None:
        while not self._over.wait(0.1):
            if self._marked is not None:
                self._peak = max(self._peak, anonymous_bytes(self._pid))

    def __enter__(self) -> Growth:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        if self._marked is not None:
            self._peak = max(self._peak, anonymous_bytes(self._pid))
