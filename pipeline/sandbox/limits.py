"""The limits that a child process sets itself before it touches a file, by means of the Linux kernel.

``setrlimit(2)`` bounds memory, processor time, the size of files and core dumps; ``prctl(2)`` ends the child with its parent,
hides its memory and forbids new privileges; ``capset(2)`` drops the capabilities of root.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
from contextlib import suppress
from typing import NamedTuple

from pipeline import processes

_PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 4, 38
_LIBC = ctypes.CDLL(None)

_CAPABILITIES_KEPT = 1 << 1 | 1 << 2
"""CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH: where we are root, the child may work on files of any owner as we may."""

_CPUS = 2  # seconds are of the clock, the kernel counts those of the processors


class Limits(NamedTuple):
    """What a child may use: memory on top of what it starts with, seconds of the clock, bytes in one file."""

    memory_bytes: int
    seconds: float
    file_bytes: int


def confine(limits: Limits, parent: int) -> None:
    """Apply the limits to this process, in a session of its own, with nothing printed: libraries' output is not for our log.

    ``parent`` is the id of the process that forked this one; both end together.
    """
    with suppress(OSError):
        os.setsid()
    processes.end_with_parent(parent, signal.SIGKILL)
    _drop_privileges()
    hide_process()
    mapped = int(_first_number("/proc/self/statm")) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (mapped + limits.memory_bytes, mapped + limits.memory_bytes))
    resource.setrlimit(resource.RLIMIT_FSIZE, (limits.file_bytes, limits.file_bytes))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # the write then fails with EFBIG, which says more than a signal
    cpu_seconds = int(limits.seconds * _CPUS) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    processes.silence(1, 2)


def hide_process() -> None:
    """Keep the environment and memory of this process from other processes of its user (it is then not dumpable)."""
    _LIBC.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def _drop_privileges() -> None:
    """Drop the capabilities of root, if we are root: with them the child could read any process's memory."""
    _LIBC.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if os.geteuid() != 0:
        return
    version_3, this_process = 0x20080522, 0
    low = (_CAPABILITIES_KEPT, _CAPABILITIES_KEPT, 0)  # effective, permitted, inheritable
    header, data = (ctypes.c_uint32 * 2)(version_3, this_process), (ctypes.c_uint32 * 6)(*low, 0, 0, 0)
    if _LIBC.capset(header, data) != 0:
        raise OSError(ctypes.get_errno(), "the capabilities of root could not be dropped")


def _first_number(path: str) -> str:
    with open(path, encoding="ascii") as file:  # noqa: PTH123 - a file of the kernel
        return file.read().split()[0]
