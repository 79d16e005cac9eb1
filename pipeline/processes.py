"""What a process of ours does about itself: it ends together with its parent, prints nothing more, ends at once."""

from __future__ import annotations

import atexit
import ctypes
import gc
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)


@contextmanager
def no_garbage_collection() -> Iterator[None]:
    """Pause the garbage collector, for imports: it would look through all modules again and again."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


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


def end_at_once(code: int) -> NoReturn:
    """End this process with an exit code, once its output is flushed and its exit functions have run.

    For a process that has used Temporal's library, whose threads may still run: one that takes Python's lock while the
    interpreter is being finalised aborts the process (SIGABRT), whatever it did before.
    """
    threading._shutdown()  # type: ignore[attr-defined]  # joins the threads that are no daemons, as the interpreter does
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)
