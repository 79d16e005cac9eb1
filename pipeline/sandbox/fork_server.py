"""The worker's side of the fork server: start it, start it anew if it has ended, ask it for children.

The server is started with an environment made for it, so that nothing of ours has to be hidden while it starts: this is safe
in a process with threads, at any time. A request is one message with all that it needs, so that a process that is forked from
this one can use the same server.
"""

from __future__ import annotations

import atexit
import os
import selectors
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

from pipeline.process_environment import child_environment
from pipeline.sandbox.fork_server_main import EXIT_CODE, STARTED

_MAIN = "pipeline.sandbox.fork_server_main"

KILL_SECONDS = 30.0
"""How long we wait for a child to be gone that the server was told to kill."""


class Child:
    """A child that was asked for: its socket, and what the server says about its state."""

    def __init__(self, channel: socket.socket, state: socket.socket) -> None:
        self.channel = channel
        self.exit_code: int | None = None
        self.has_started = self.has_ended = False
        self._state = state

    def wait(self, seconds: float) -> bool:
        """Wait for so long, or until the child says something (True), starts, or ends."""
        with selectors.PollSelector() as selector:
            selector.register(self.channel, selectors.EVENT_READ)
            if not self.has_ended:
                selector.register(self._state, selectors.EVENT_READ)
            ready = {key.fileobj for key, _ in selector.select(max(0.0, seconds))}
        if self._state in ready:
            self._read_state()
        return self.channel in ready

    def wait_for_end(self, seconds: float) -> None:
        """Wait for so long, or until the child has ended."""
        self._state.settimeout(seconds)
        with suppress(TimeoutError):
            while not self.has_ended:
                self._read_state()

    def _read_state(self) -> None:
        message = self._state.recv(64)
        self.has_started = self.has_started or message == STARTED
        if message != STARTED:
            self.has_ended = True  # without a message: the server has ended, and its children with it
            self.exit_code = EXIT_CODE.unpack(message)[0] if message else None

    def end(self) -> None:
        """Kill the child if it has not ended, and wait until it is gone."""
        with suppress(OSError):
            self._state.shutdown(socket.SHUT_WR)
        self.wait_for_end(KILL_SECONDS)
        self.channel.close()
        self._state.close()


class ForkServer:
    """A server whose children find the modules of these names imported. It starts with the first child, or by start()."""

    def __init__(self, *modules: str) -> None:
        self._modules = modules
        self._lock = threading.Lock()
        self._requests: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._parent = 0

    def start(self) -> None:
        """Start the server if there is none. It loads its modules while we go on."""
        with self._lock:
            if self._requests is None:
                self._requests = self._launch()

    def child(self) -> Child:
        """Ask for a child. A server that has ended is started anew."""
        ours, theirs = socket.socketpair()
        state, servers = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs, servers:
            self._request(theirs.fileno(), servers.fileno())
        return Child(ours, state)

    def _request(self, *descriptors: int) -> None:
        self.start()
        with self._lock:
            assert self._requests is not None
            try:
                socket.send_fds(self._requests, [b"c"], descriptors)
            except ConnectionError:
                self._end()
                self._requests = self._launch()
                socket.send_fds(self._requests, [b"c"], descriptors)

    def stop(self) -> None:
        """End the server, and its children with it. A process that was forked from the one that started it only lets go."""
        with self._lock:
            self._end()

    def _end(self) -> None:
        atexit.unregister(self.stop)
        if self._requests is not None:
            self._requests.close()
        if self._process is not None and self._parent == os.getpid():
            self._process.kill()
            self._process.wait()
        self._requests = self._process = None

    def _launch(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", _MAIN, str(theirs.fileno()), *self._modules],
                env=self._environment(),
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )
        self._parent = os.getpid()
        atexit.register(self.stop)  # it is gone when we are, not a moment later
        return ours

    @staticmethod
    def _environment() -> dict[str, str]:
        """Return the environment of a server: it finds the modules that we find."""
        return child_environment() | {"PYTHONPATH": os.pathsep.join(str(Path(place).absolute()) for place in sys.path)}
