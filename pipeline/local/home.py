"""What a home remembers from one start to the next: its ports and its passwords. One stack at a time may use it."""

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
    """A folder that holds all of a stack's state; locked while a stack uses it."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        length = len(os.fsencode(self.path))
        if length > PATH_BYTES_MAX:
            raise InvalidConfiguration(
                f"The home's path is {length} bytes long; the servers' own files below it leave room for {PATH_BYTES_MAX}."
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
                f"{self._file} is damaged: {error}. It holds the stack's ports and passwords: bring it back from a copy, or set"
                " BULKHEAD_HOME to another folder."
            ) from error
        self._lock: int | None = None
        self._claims: dict[int, int] = {}

    def _probe(self) -> None:
        """Raises OSError if no file can be made here, as in a folder that is there but read-only."""
        with tempfile.TemporaryFile(dir=self.path):
            pass

    def folder(self, name: str) -> Path:
        """A folder in the home, made if it is not there."""
        path = self.path / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def lock(self) -> None:
        """Raises Conflict if another stack is using this home. The lock goes with the process, however it ends."""
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
        """We hold the lock."""
        return self._lock is not None

    def unlock(self) -> None:
        """Let another stack use this home and its ports."""
        while self._claims:
            _, claim = self._claims.popitem()
            if claim >= 0:
                os.close(claim)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def secret(self, name: str) -> str:
        """A random secret, made once."""
        known = self._known.setdefault("secrets", {})
        if name not in known:
            known[name] = secrets.token_urlsafe(32)
            self._save()
        return str(known[name])

    def port(self, name: str, default: int, *, twin: int = 0) -> int:
        """A free port: last time's if it still is."""
        chosen = self._known.setdefault("ports", {})
        taken = {port + step for other, port in chosen.items() if other != name for step in (0, twin)}
        chosen[name] = ports.choose(chosen.get(name, default), taken, twin=twin, claim=self.claim)
        self._save()
        return int(chosen[name])

    def claim(self, port: int) -> bool:
        """Keep a port for this stack until it is unlocked; return whether it is ours now."""
        if port not in self._claims and (claim := ports.claim(port)) is not None:
            self._claims[port] = claim
        return port in self._claims

    def port_of(self, name: str) -> int:
        """The port that was chosen for ``name``."""
        return int(self._known["ports"][name])

    def _save(self) -> None:
        write_private(self._file, json.dumps(self._known, indent=2))


def write_private(path: Path, text: str) -> None:
    """Write a file that nobody else may read, whole or not at all."""
    fresh = path.with_name(path.name + ".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    fresh.replace(path)
