"""What a process of ours asks of the kernel about itself: to end together with its parent, and to print nothing more."""

from __future__ import annotations

import ctypes
import os
import signal

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)


def end_with_parent(parent: int, stop_signal: signal.Signals) -> None:
    """Have the kernel send this process ``stop_signal`` when its parent ends (prctl(2), PR_SET_PDEATHSIG).

    ``parent``: the id of the process that forked this one. If it has ended already, this process ends at once.
    """
    _LIBC.prctl(_PR_SET_PDEATHSIG, stop_signal)
    if os.getppid() != parent:  # it ended before the kernel knew that we want to end with it
        os._exit(1)


def silence(*streams: int) -> None:
    """Let what is still written to these file descriptors (1 is stdout, 2 is stderr) go nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in streams:
        os.dup2(nowhere, stream)
    os.close(nowhere)
