"""The warm server: ``python -m pipeline.sandbox.warm_server_main LISTENER SECONDS MODULE...``; warm_server.py starts it.

It is a fork server that belongs to no process: it accepts connections on the Unix socket with the file descriptor LISTENER, and
ends when no process has been connected for SECONDS. A client connects while it holds the lock of the socket's folder, and so
does the server while it decides to end and removes the socket's file: a client that has connected is served.
"""

from __future__ import annotations

import fcntl
import os
import selectors
import signal
import socket
import struct
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.sandbox.fork_server_main import Server, load
from pipeline.sandbox.limits import hide_process

_CREDENTIALS = struct.Struct("3i")
"""Of SO_PEERCRED (unix(7)): process id, user id, group id."""


class _WarmServer(Server):
    """A server that accepts connections, on each of which children may be asked for."""

    def __init__(self, listener: socket.socket, idle_seconds: float) -> None:
        super().__init__()
        self._listener = listener
        self._idle_seconds = idle_seconds
        self._selector.register(listener, selectors.EVENT_READ)

    def serve(self) -> None:
        """Accept, fork, kill and report until no process has been connected for so long."""
        while True:
            is_idle = not (self._requests or self._states)
            ready = self._ready(self._idle_seconds if is_idle else None)
            if not ready and self._is_over():
                return
            if self._listener in ready:
                self._accept()
            self._act(ready)

    def _accept(self) -> None:
        """Take up a connection, if it is of our user."""
        requests, _ = self._listener.accept()
        credentials = requests.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        if _CREDENTIALS.unpack(credentials)[1] != os.geteuid():
            requests.close()
            return
        self._requests.add(requests)
        self._selector.register(requests, selectors.EVENT_READ)

    def _is_over(self) -> bool:
        """Return whether no client waits; if so, none finds the socket any more."""
        path = Path(self._listener.getsockname())
        with locked(path.parent):
            if self._listener in self._ready(0):
                return False
            path.unlink(missing_ok=True)
            return True

    def _own(self) -> Iterable[socket.socket]:
        return (self._listener, *super()._own())


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder of sockets during the block; wait for it. Raises OSError if the folder is not there."""
    with (folder / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def main() -> None:
    """Import the modules that the command line names, then serve."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    listener = socket.socket(fileno=int(sys.argv[1]))
    load(sys.argv[3:])
    hide_process()
    _WarmServer(listener, float(sys.argv[2])).serve()
    os._exit(0)  # without the interpreter's clean-up, as the fork server


if __name__ == "__main__":
    main()
