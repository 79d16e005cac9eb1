"""Run one function in a fresh child process with limits and without credentials: files are hostile until shown otherwise.

The children are forked from a server that has the heavy libraries loaded already (importing Great Expectations takes ten
seconds, forking takes none). A child that crashes, exceeds its limits or is killed costs its own work and nothing else.

A child that a file has taken over can say what it likes, so what it says is data: JSON, checked against the type that the
function is annotated with, and never unpickled (messages.py). Nor can it read the memory or environment of this process, of the
server or of another child: they are not dumpable, so that the kernel keeps them from processes of the same user.
"""

from __future__ import annotations

import pickle
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from pipeline.errors import Crashed
from pipeline.sandbox.fork_server import Child, ForkServer
from pipeline.sandbox.limits import Limits, hide_process
from pipeline.sandbox.messages import MESSAGE_BYTES, QUESTION, UNCLEAR, Call, Surroundings, json_in, outcome, receive, send
from pipeline.telemetry import metrics
from pipeline.telemetry.catalog import SANDBOX_DEATHS

VALIDATION_MODULES = ("pipeline.sandbox.validate_file", "pipeline.sandbox.warm_up")

VALIDATION = ForkServer(*VALIDATION_MODULES)
"""For the worker: its children find DuckDB, pyarrow and Great Expectations loaded and used once."""

PREVIEW = ForkServer("pipeline.sandbox.preview_file")
"""For the web app, which only reads the beginning of a file: without Great Expectations."""

BEAT_SECONDS = 2.0

START_SECONDS = 300.0
"""How long a server may take to load its modules and fork: ten seconds, and several times that on a busy machine."""

_STARTS = 2
"""How often a child is asked for, if the server ends before it has forked it."""

_SEND_SECONDS = 60.0
"""How long a child may take to read what it is sent."""

FILE_BYTES = 400 << 30
"""How long a file may be that a child writes, unless the caller sets it: four times the longest text that is read (100 GiB),
since the staging database may spill each record as text, as typed columns, and once more while it sorts them."""

_SIGNALS = {one.value: one.name for one in signal.Signals}

R = TypeVar("R")


def start() -> None:
    """Start the server for validations, which loads its modules while we go on."""
    VALIDATION.start()


def warm(server: ForkServer = VALIDATION) -> None:
    """Start the server if there is none, and wait until it has loaded its modules."""
    run(_nothing, memory_bytes=1 << 30, seconds=120.0, server=server)


def run(
    function: Callable[..., R],
    *args: object,
    memory_bytes: int,
    seconds: float,
    heartbeat: Callable[[], None] | None = None,
    beat_seconds: float = BEAT_SECONDS,
    answer: Callable[[Any], Any] | None = None,
    file_bytes: int = FILE_BYTES,
    server: ForkServer = VALIDATION,
) -> R:
    """Call ``function(*args)`` in a child and return what it returns. The arguments must be picklable; the result must be of
    the type that the function is annotated with, and fit into JSON.

    With ``answer``, the function gets one argument more: a function that asks us, and returns what ``answer`` says to its
    one argument, which it gets as plain JSON; an error in ``answer`` ends the child. The time that an answer takes is not the
    child's, nor is the time until it starts.
    ``heartbeat`` is called every ``beat_seconds``; if it raises, the child is killed and the error goes on. Our own errors
    (errors.py) come back as themselves. Raises Crashed if the child dies, needs more than ``memory_bytes`` on top of what it
    starts with, more than ``seconds``, or a file of more than ``file_bytes``; RuntimeError with the child's
    traceback for any other exception.
    """
    hide_process()
    limits = Limits(memory_bytes, seconds, file_bytes)
    beats = _Beats(heartbeat, beat_seconds)
    child = _started_child(server, beats)
    try:
        _send_call(child, Call(function, args, answer is not None), limits)
        clock = _Clock(child, beats, seconds)
        while True:
            message = _next_message(child, clock)
            if not message.startswith(QUESTION) or answer is None:
                break
            _send(child, answer(json_in(message[1:])))
        result: R = outcome(function, message)
        child.wait_for_end(1)  # it may still have to close what it used
        return result
    except Crashed as error:
        metrics.count(SANDBOX_DEATHS, reason=error.reason)
        raise
    finally:
        child.end()


class _Beats:
    """The heartbeat, called when it is due."""

    def __init__(self, call: Callable[[], None] | None, seconds: float) -> None:
        self._call = call
        self._seconds = seconds
        self._due = time.monotonic() + seconds

    def left(self) -> float:
        """Return the seconds until the next one, at least 0."""
        return max(0.0, self._due - time.monotonic())

    def call_if_due(self) -> None:
        """Call the heartbeat if its time has come."""
        if self.left() == 0.0:
            self._due = time.monotonic() + self._seconds
            if self._call:
                self._call()


class _Clock:
    """Waits for a child, within the time that it may take for all its messages together."""

    def __init__(self, child: Child, beats: _Beats, seconds: float) -> None:
        self._child = child
        self._beats = beats
        self._allowed = self._left = seconds

    def wait(self) -> None:
        """Return when the child has said something. Raises Crashed if it has ended, or its time is over."""
        began = time.monotonic()
        left = self._left
        try:
            while left > 0.0:
                if self._child.wait(min(self._beats.left(), left)):
                    return
                if self._child.has_ended and not self._child.wait(0):
                    raise _died(self._child)
                self._beats.call_if_due()
                left = self._left - (time.monotonic() - began)
            took = f"The work on the file took more than {self._allowed:,.0f} seconds and was stopped."
            raise Crashed(took, reason="time")
        finally:
            self._left -= time.monotonic() - began


def _started_child(server: ForkServer, beats: _Beats) -> Child:
    """Return a child that has started. Raises Crashed if the server cannot start one."""
    until = time.monotonic() + START_SECONDS
    for _ in range(_STARTS):
        child = server.child()
        try:
            while not (child.has_started or child.has_ended) and time.monotonic() < until:
                child.wait(min(beats.left(), until - time.monotonic()))
                beats.call_if_due()
        except BaseException:
            child.end()
            raise
        if child.has_started:
            return child
        child.end()
    raise Crashed("No process could be started to work on the file. The log of this process may say why.")


def _send_call(child: Child, call: Call, limits: Limits) -> None:
    surroundings = Surroundings(list(sys.path), str(Path.cwd()), limits)
    _send(child, surroundings)
    _send(child, call)


def _send(child: Child, value: object) -> None:
    """Send a value to the child; one that has ended is found out when its answer is waited for."""
    child.channel.settimeout(_SEND_SECONDS)
    try:
        send(child.channel, pickle.dumps(value))
    except OSError:
        child.wait_for_end(5)
        raise _died(child) from None


def _next_message(child: Child, clock: _Clock) -> bytes:
    try:
        return receive(child.channel, MESSAGE_BYTES, clock.wait)
    except (EOFError, ConnectionResetError):
        child.wait_for_end(5)
        raise _died(child) from None


def _died(child: Child) -> Crashed:
    code = child.exit_code
    if code is None:
        return Crashed(UNCLEAR if not child.has_ended else "The process that worked on the file was killed with its parent.")
    if code < 0:
        name = _SIGNALS.get(-code, f"signal {-code}")
        what = "it needed too much time" if -code == signal.SIGXCPU else "it was killed, or the file crashed the reader"
        reason = "time" if -code == signal.SIGXCPU else "signal"
        return Crashed(f"The process that worked on the file ended with {name}: {what}.", reason=reason)
    return Crashed(f"The process that worked on the file ended by itself (exit code {code}).", reason="exit")


def _nothing() -> None:
    """Do nothing: ``warm`` runs it."""
