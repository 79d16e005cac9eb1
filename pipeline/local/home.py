"""The home folder of a stack: stores ports and passwords from one start to the next, for one stack at a time."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import tempfile
from pathlib import Path
from typing import Any

from pipeline.errors import Conflict, InternalInconsistency, InvalidConfiguration
from pipeline.local import ports

PATH_BYTES_MAX = 400
"""SQLite opens no file whose absolute path is longer than 512 bytes, and PostgreSQL no data folder of more than 1,024."""


class Home:
    """A folder with all data of a stack; locked while a stack uses it."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        length = len(os.fsencode(self.path))
        if length > PATH_BYTES_MAX:
            raise InvalidConfiguration(
                f"The path of the home is {length} bytes long; at most {PATH_BYTES_MAX} are possible."
                f" Set BULKHEAD_HOME to a shorter path. It is {self.path}"
            )
        try:
            self.logs = self.folder("logs")
            self._probe()
            self._file = self.path / "stack.json"
            self._known: dict[str, Any] = json.loads(self._file.read_text()) if self._file.exists() else {}
        except OSError as error:
            raise InvalidConfiguration(
                f"The home {self.path} cannot be used: {error.filename}: {error.strerror}."
                " Set BULKHEAD_HOME (or --home) to a folder that you may write to."
            ) from error
        except ValueError as error:
            raise InternalInconsistency(
                f"{self._file} is damaged: {error}. It holds the stack's ports and passwords. Restore it from a backup, or set"
                " BULKHEAD_HOME to another folder."
            ) from error
        self._lock: int | None = None
        self._claims: dict[int, int] = {}

    def _probe(self) -> None:
        """Raise OSError if no file can be created here, for instance in a read-only folder."""
        with tempfile.TemporaryFile(dir=self.path):
            pass

    def folder(self, name: str) -> Path:
        """Return a folder in the home, created if it does not exist."""
        path = self.path / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def lock(self) -> None:
        """Lock the home; the lock ends with the process. Raises Conflict if another stack uses this home."""
        self._lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._lock)
            self._lock = None
            raise Conflict(
                f"Another stack is running on {self.path}. Stop it first, or set BULKHEAD_HOME to another folder."
            ) from error

    @property
    def is_ours(self) -> bool:
        """Return whether this stack holds the lock."""
        return self._lock is not None

    def unlock(self) -> None:
        """Release the home and its ports for other stacks."""
        while self._claims:
            _, claim = self._claims.popitem()
            if claim >= 0:
                os.close(claim)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def secret(self, name: str) -> str:
        """Return a random secret, created at the first call and stored."""
        known = self._known.setdefault("secrets", {})
        if name not in known:
            known[name] = secrets.token_urlsafe(32)
            self._save()
        return str(known[name])

    def port(self, name: str, default: int, *, twin: int = 0) -> int:
        """Return a free port: the one of the last start if it is still free. ``twin``: port + twin must be free, too."""
        chosen = self._known.setdefault("ports", {})
        taken = {port + step for other, port in chosen.items() if other != name for step in (0, twin)}
        chosen[name] = ports.choose(chosen.get(name, default), taken, twin=twin, claim=self.claim)
        self._save()
        return int(chosen[name])

    def claim(self, port: int) -> bool:
        """Reserve a port for this stack until the home is unlocked; return whether that succeeded."""
        if port not in self._claims and (claim := ports.claim(port)) is not None:
            self._claims[port] = claim
        return port in self._claims

    def port_of(self, name: str) -> int:
        """Return the port chosen for ``name``."""
        return int(self._known["ports"][name])

    def _save(self) -> None:
        write_private(self._file, json.dumps(self._known, indent=2))


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, completely or not at all."""
    fresh = path.with_name(path.name + ".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    fresh.replace(path)
