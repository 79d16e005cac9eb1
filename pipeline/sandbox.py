"""Runs one function in a fresh child process with limits and without credentials: files are hostile until shown otherwise.

The children are forked from a server process that has the heavy libraries loaded already (importing Great Expectations takes
ten seconds, forking takes none). A child that crashes, runs over its limits or is killed costs its own work and nothing else.
"""

from __future__ import annotations

import ctypes
import errno
import multiprocessing
import os
import resource
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, ForkServerProcess
from multiprocessing.forkserver import ensure_running
from typing import Any, NamedTuple, ParamSpec, TypeVar

from pipeline.errors import BulkheadError, Crashed, NoSpace, is_no_space
from pipeline.settings import environment_without_secrets

PRELOAD = ["pipeline.validation", "pipeline.warmed"]
"""What every child finds loaded. Its imports are DuckDB, pyarrow and Great Expectations."""

BEAT_SECONDS = 2.0
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)
_RESULT, _ERROR, _QUESTION = "result", "error", "question"
FILE_BYTES = 400 << 30
"""How long a file may be that a child writes, if nobody says otherwise: four times the longest text that is read (100 GiB),
since the staging database may spill each record as text, as typed columns, and once more while it sorts them."""

_NO_ROOM_TO_SPILL = "max_temp_directory_size"
"""DuckDB's error names this setting when the disk has no room for what memory does not hold; by default all of the disk."""

_CPUS = 2  # seconds are of the clock, the kernel counts those of the processors

P = ParamSpec("P")
R = TypeVar("R")

_context: ForkServerContext = multiprocessing.get_context("forkserver")
_starting = threading.Lock()


def warm() -> None:
    """Start the server that children are forked from; returns when it has loaded everything."""
    run(_nothing, memory_bytes=1 << 30, seconds=120.0)


def run(
    function: Callable[..., R],
    *args: object,
    memory_bytes: int,
    seconds: float,
    heartbeat: Callable[[], None] | None = None,
    beat_seconds: float = BEAT_SECONDS,
    answer: Callable[[Any], Any] | None = None,
    file_bytes: int = FILE_BYTES,
) -> R:
    """Call ``function(*args)`` in a child and return what it returns; all of it must be picklable.

    With ``answer``, the function gets one argument more: a function that asks us, and returns what ``answer`` says to its
    one argument; an error in ``answer`` ends the child. The time that an answer takes is not the child's.
    ``heartbeat`` is called every ``beat_seconds``; if it raises, the child is killed and the error goes on. Our own errors
    (errors.py) come back as themselves. Raises Crashed if the child dies, needs more than ``memory_bytes`` on top of what it
    starts with, more than ``seconds``, or a file of more than ``file_bytes``; RuntimeError with the child's
    traceback for any other exception.
    """
    ours, theirs = _context.Pipe()
    call = (function, args, answer is not None)
    process = _context.Process(target=_work, args=(theirs, call, _Limits(memory_bytes, seconds, file_bytes)), daemon=True)
    _start(process)
    theirs.close()
    try:
        beats = _Beats(heartbeat, beat_seconds)
        while True:
            started = time.monotonic()
            _wait(process, ours, seconds, beats)
            kind, said = _message(process, ours)
            if kind != _QUESTION:
                break
            seconds -= time.monotonic() - started
            assert answer is not None
            ours.send(answer(said))
        result: R = _outcome(kind, said)
        process.join(1)  # it has something to put away yet
        return result
    finally:
        if process.is_alive():
            process.kill()
        process.join()
        process.close()
        ours.close()


def _start(process: ForkServerProcess) -> None:
    with _starting, _nameless_main(), environment_without_secrets():
        ensure_running()
        process.start()


@contextmanager
def _nameless_main() -> Iterator[None]:
    """multiprocessing imports the parent's main module in each child; ours need nothing of it, and it costs half a second."""
    _context.set_forkserver_preload(PRELOAD)
    main = sys.modules["__main__"]
    hidden: dict[str, Any] = {name: main.__dict__.pop(name) for name in ("__spec__", "__file__") if name in main.__dict__}
    main.__dict__["__spec__"] = None
    try:
        yield
    finally:
        main.__dict__.update(hidden)


class _Limits(NamedTuple):
    """What a child may need."""

    memory_bytes: int
    seconds: float
    file_bytes: int


class _Beats(NamedTuple):
    """What to call while we wait, and how often."""

    call: Callable[[], None] | None
    seconds: float


def _wait(process: ForkServerProcess, ours: Connection, seconds: float, beats: _Beats) -> None:
    until = time.monotonic() + seconds
    while not ours.poll(max(0.0, min(beats.seconds, until - time.monotonic()))):
        if beats.call:
            beats.call()
        if time.monotonic() >= until:
            raise Crashed(f"The work on the file took more than {seconds:,.0f} seconds and was stopped.")
        if not process.is_alive() and not ours.poll():
            raise _died(process)


def _message(process: ForkServerProcess, ours: Connection) -> tuple[str, Any]:
    """What the child says, and of which kind that is."""
    try:
        kind, said = ours.recv()
    except (EOFError, ConnectionResetError):
        process.join(5)
        raise _died(process) from None
    return str(kind), said


def _outcome(kind: str, said: Any) -> Any:
    if kind == _RESULT:
        return said
    if isinstance(said, BulkheadError):
        raise said
    raise RuntimeError(said)


def _died(process: ForkServerProcess) -> Crashed:
    code = process.exitcode
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        what = "it needed too much time" if -code == signal.SIGXCPU else "it was killed, or the file crashed the reader"
        return Crashed(f"The process that worked on the file ended with {name}: {what}.")
    return Crashed(f"The process that worked on the file ended by itself (exit code {code}).")


# --- In the child ---


def _work(theirs: Connection, call: tuple[Callable[..., Any], tuple[object, ...], bool], limits: _Limits) -> None:
    _shut_in(limits)
    function, args, may_ask = call

    def ask(question: Any) -> Any:
        theirs.send((_QUESTION, question))
        return theirs.recv()

    try:
        theirs.send((_RESULT, function(*args, ask) if may_ask else function(*args)))
    except BulkheadError as error:
        theirs.send((_ERROR, error))
    except MemoryError:
        theirs.send((_ERROR, _needs_more_memory(limits)))
    except Exception as error:
        if _is_too_large(error):
            theirs.send((_ERROR, Crashed(f"The file needs a file of more than {limits.file_bytes:,} bytes to be worked on.")))
        elif is_no_space(error) or _NO_ROOM_TO_SPILL in str(error):
            theirs.send(
                (_ERROR, NoSpace("No space is left on the disk of BULKHEAD_HOME. The work goes on when there is some."))
            )
        elif "Out of Memory Error" in str(error):  # DuckDB's, or what a library made of it
            theirs.send((_ERROR, _needs_more_memory(limits)))
        else:
            theirs.send((_ERROR, traceback.format_exc()))
    finally:
        theirs.close()


def _needs_more_memory(limits: _Limits) -> Crashed:
    size = f"{limits.memory_bytes:,} bytes"
    return Crashed(
        f"The file needs more memory than the {size} of BULKHEAD_VALIDATION_MEMORY_BYTES. Raise that, or split the file."
    )


def _is_too_large(error: Exception) -> bool:
    """A write went beyond the longest file. DuckDB says so in words only."""
    return getattr(error, "errno", None) == errno.EFBIG or os.strerror(errno.EFBIG) in str(error)


def _shut_in(limits: _Limits) -> None:
    """Limits, a session of its own, and nothing printed: what libraries say is not for our log."""
    with suppress(OSError):
        os.setsid()
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # nobody would wait for the result
    mapped = int(_first_number("/proc/self/statm")) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (mapped + limits.memory_bytes, mapped + limits.memory_bytes))
    resource.setrlimit(resource.RLIMIT_FSIZE, (limits.file_bytes, limits.file_bytes))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # an error where it is written says more than a signal
    cpu_seconds = int(limits.seconds * _CPUS) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    silence = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(silence, stream)
    os.close(silence)


def _first_number(path: str) -> str:
    with open(path, encoding="ascii") as file:  # noqa: PTH123 - a file of the kernel
        return file.read().split()[0]


def _nothing() -> None:
    """What warm runs."""
