"""Runs one function in a fresh child process with limits and without credentials: files are hostile until shown otherwise.

The children are forked from a server process that has the heavy libraries loaded already (importing Great Expectations takes
ten seconds, forking takes none). A child that crashes, runs over its limits or is killed costs its own work and nothing else.

A child that a file has taken over can say what it likes, so what it says is data: JSON, checked against the type that the
function says it returns. Nothing of it is unpickled here. Nor can it look into this process or into another child: they are not
dumpable, so that the kernel keeps their environment and memory from processes of the same user.
"""

from __future__ import annotations

import ctypes
import errno
import json
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
from functools import lru_cache
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, ForkServerProcess
from multiprocessing.forkserver import ensure_running
from typing import Any, NamedTuple, ParamSpec, TypeVar, get_type_hints

from pydantic import TypeAdapter

from pipeline import errors
from pipeline.errors import BulkheadError, Crashed, NoSpace, RejectedFile, is_no_space, is_out_of_memory
from pipeline.settings import environment_without_secrets

PRELOAD = ["pipeline.sandbox.validate_file", "pipeline.sandbox.warm_up"]
"""What every child finds loaded. Its imports are DuckDB, pyarrow and Great Expectations."""

BEAT_SECONDS = 2.0
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 1, 4, 38
_LIBC = ctypes.CDLL(None)
_RESULT, _ERROR, _FAULT, _QUESTION = b"R", b"E", b"F", b"Q"
"""A result, an error of ours, the traceback of any other, a question: the first byte of each message; the rest is JSON."""

SAID_BYTES = 64 << 20
"""A longer message of a child is not read."""

_CAPABILITIES_KEPT = 1 << 1 | 1 << 2
"""CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH: where we are root, the child may work on files of any owner as we may."""

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
    """Call ``function(*args)`` in a child and return what it returns. The arguments must be picklable; the result must be of
    the type that the function is annotated with, and fit into JSON.

    With ``answer``, the function gets one argument more: a function that asks us, and returns what ``answer`` says to its
    one argument, which it gets as plain JSON; an error in ``answer`` ends the child. The time that an answer takes is not the
    child's.
    ``heartbeat`` is called every ``beat_seconds``; if it raises, the child is killed and the error goes on. Our own errors
    (errors.py) come back as themselves. Raises Crashed if the child dies, needs more than ``memory_bytes`` on top of what it
    starts with, more than ``seconds``, or a file of more than ``file_bytes``; RuntimeError with the child's
    traceback for any other exception.
    """
    _hide()
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
            if kind != _QUESTION or answer is None:
                break
            seconds -= time.monotonic() - started
            ours.send(answer(_data(said)))
        result: R = _outcome(function, kind, said)
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


def _message(process: ForkServerProcess, ours: Connection) -> tuple[bytes, bytes]:
    """Of which kind the child's message is, and what it says."""
    try:
        said = ours.recv_bytes(SAID_BYTES)
    except (EOFError, ConnectionResetError):
        process.join(5)
        raise _died(process) from None
    except OSError as error:
        raise Crashed(_UNCLEAR) from error
    return said[:1], said[1:]


_UNCLEAR = "The process that worked on the file gave an answer that cannot be understood."


def _outcome(function: Callable[..., Any], kind: bytes, said: bytes) -> Any:
    if kind == _RESULT:
        try:
            return _returns(function).validate_json(said)
        except ValueError as error:
            raise Crashed(_UNCLEAR) from error
    told = _data(said)
    if kind == _ERROR:
        raise _error_of(told)
    if kind == _FAULT and isinstance(told, str):
        raise RuntimeError(told)
    raise Crashed(_UNCLEAR)


def _data(said: bytes) -> Any:
    try:
        return json.loads(said)
    except (ValueError, RecursionError) as error:
        raise Crashed(_UNCLEAR) from error


@lru_cache(maxsize=32)
def _returns(function: Callable[..., Any]) -> TypeAdapter[Any]:
    """What a function says that it returns."""
    return TypeAdapter(get_type_hints(function)["return"])


def _error_of(told: Any) -> BulkheadError:
    """An error of ours, from what _told made of it."""
    if not isinstance(told, dict) or not isinstance(told.get("message"), str):
        return Crashed(_UNCLEAR)
    kind = getattr(errors, str(told.get("class")), None)
    if not (isinstance(kind, type) and issubclass(kind, BulkheadError)):
        kind = Crashed
    if not issubclass(kind, RejectedFile):
        return kind(told["message"])
    code, hint, line = told.get("code"), told.get("hint"), told.get("line")
    if not (isinstance(code, str) and isinstance(hint, str) and isinstance(line, int | None)):
        return Crashed(_UNCLEAR)
    return kind(told["message"], code=code, hint=hint, line=line)


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

    def say(kind: bytes, data: bytes) -> None:
        theirs.send_bytes(kind + data)

    def ask(question: Any) -> Any:
        say(_QUESTION, json.dumps(question, default=str).encode())
        return theirs.recv()

    try:
        result = function(*args, ask) if may_ask else function(*args)
        say(_RESULT, _returns(function).dump_json(result))
    except BulkheadError as error:
        say(_ERROR, _told(error))
    except MemoryError:
        say(_ERROR, _told(_needs_more_memory(limits)))
    except Exception as error:
        if _is_too_large(error):
            longest = f"The file needs a file of more than {limits.file_bytes:,} bytes to be worked on."
            say(_ERROR, _told(Crashed(longest)))
        elif is_no_space(error) or _NO_ROOM_TO_SPILL in str(error):
            full = NoSpace("No space is left on the disk of BULKHEAD_HOME. The work goes on when there is some.")
            say(_ERROR, _told(full))
        elif is_out_of_memory(error):
            say(_ERROR, _told(_needs_more_memory(limits)))
        else:
            say(_FAULT, json.dumps(traceback.format_exc()).encode())
    finally:
        theirs.close()


def _needs_more_memory(limits: _Limits) -> Crashed:
    size = f"{limits.memory_bytes:,} bytes"
    return Crashed(
        f"The file needs more memory than the {size} of BULKHEAD_VALIDATION_MEMORY_BYTES. Raise that, or split the file."
    )


def _told(error: BulkheadError) -> bytes:
    fields = {name: getattr(error, name) for name in ("code", "hint", "line")} if isinstance(error, RejectedFile) else {}
    return json.dumps({"class": type(error).__name__, "message": str(error), **fields}).encode()


def _is_too_large(error: Exception) -> bool:
    """A write went beyond the longest file. DuckDB says so in words only."""
    return getattr(error, "errno", None) == errno.EFBIG or os.strerror(errno.EFBIG) in str(error)


def _shut_in(limits: _Limits) -> None:
    """Limits, a session of its own, and nothing printed: what libraries say is not for our log."""
    with suppress(OSError):
        os.setsid()
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # the result would be waited for in vain
    _drop_privileges()
    _hide()
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


def _hide() -> None:
    """Keep this process's environment and memory from other processes of its user."""
    _LIBC.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def _drop_privileges() -> None:
    """Without the capabilities of root, if we are root: it could look into any process with them."""
    _LIBC.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if os.geteuid() != 0:
        return
    version_3, itself = 0x20080522, 0
    low = (_CAPABILITIES_KEPT, _CAPABILITIES_KEPT, 0)  # effective, permitted, inheritable
    header, data = (ctypes.c_uint32 * 2)(version_3, itself), (ctypes.c_uint32 * 6)(*low, 0, 0, 0)
    if _LIBC.capset(header, data) != 0:
        raise OSError(ctypes.get_errno(), "the capabilities of root could not be dropped")


def _first_number(path: str) -> str:
    with open(path, encoding="ascii") as file:  # noqa: PTH123 - a file of the kernel
        return file.read().split()[0]


def _nothing() -> None:
    """What warm runs."""
