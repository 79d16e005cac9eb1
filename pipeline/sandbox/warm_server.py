"""A fork server that outlives the command that started it, so that the next command finds Great Expectations loaded.

The server listens on a Unix socket in a folder that only its user may enter. The socket is named by a digest of what a server
takes from the process that starts it (the program's files, the packages, the environment): a command never uses a server that
would work differently from one of its own, and one that is not used ends by itself.
"""

from __future__ import annotations

import hashlib
import os
import socket
import stat
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

from pipeline.process_environment import runtime_folder
from pipeline.sandbox.fork_server import ForkServer
from pipeline.sandbox.warm_server_main import locked

_MAIN = "pipeline.sandbox.warm_server_main"
_LONGEST_FOLDER = 107 - len("/0123456789abcdef.sock")
"""The kernel takes 107 bytes as the path of a socket."""

_WAITING = 16
"""How many clients may wait while the server loads its modules."""


class WarmServer(ForkServer):
    """A server for commands, in a folder of sockets; it ends when no process has used it for ``idle_seconds``."""

    def __init__(self, folder: Path, idle_seconds: float, *modules: str) -> None:
        super().__init__(*modules)
        self._folder = folder
        self._idle_seconds = idle_seconds

    def _launch(self) -> socket.socket:
        """Connect to the server, or start one. Raises OSError if the folder is not there or another user's."""
        path = self._folder / f"{_digest(self._environment(), self._modules)}.sock"
        with locked(self._folder):
            try:
                return _connected(path)
            except (FileNotFoundError, ConnectionRefusedError):
                self._begin(path)
                return _connected(path)

    def _begin(self, path: Path) -> None:
        """Start a server that listens at ``path``, in a session of its own: the terminal's Ctrl-C is not for it."""
        path.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
            listener.bind(str(path))
            listener.listen(_WAITING)
            started = subprocess.Popen(
                [sys.executable, "-P", "-m", _MAIN, str(listener.fileno()), str(self._idle_seconds), *self._modules],
                env=self._environment(),
                pass_fds=[listener.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                cwd="/",
            )
        started.returncode = 0  # it is to outlive us: Popen need not warn of that


def socket_folder() -> Path | None:
    """Return the folder for sockets, which only this user may enter; None if there can be none."""
    runtime = runtime_folder()
    folder = runtime / "bulkhead" if runtime else Path(tempfile.gettempdir(), f"bulkhead-{os.geteuid()}")
    if len(os.fsencode(folder)) > _LONGEST_FOLDER:
        return None
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError:
        return None
    is_ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o077
    return folder if is_ours else None


def _connected(path: Path) -> socket.socket:
    """Return a connection to the server. Raises FileNotFoundError or ConnectionRefusedError if there is none."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        connection.connect(str(path))
    except OSError:
        connection.close()
        raise
    return connection


def _digest(environment: dict[str, str], modules: tuple[str, ...]) -> str:
    """Return a digest of what a server takes over from the process that starts it."""
    package = Path(__file__).parents[1]
    changed = max(file.stat().st_mtime_ns for file in package.rglob("*.py"))
    umask = os.umask(0o077)
    os.umask(umask)
    packages = Path(sysconfig.get_path("purelib")).stat().st_mtime_ns
    taken = (sys.executable, str(package), changed, packages, umask, sorted(environment.items()), modules)
    return hashlib.sha256(repr(taken).encode()).hexdigest()[:16]
