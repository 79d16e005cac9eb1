"""Store the state of unfinished uploads, so that one can be resumed even after its process was killed.

Each upload has one small file in the user's state folder ($XDG_STATE_HOME/bulkhead/uploads), named after server, dataset and
path. It contains no API key and no content.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import platformdirs

from pipeline.errors import InvalidRequest

FORGOTTEN_AFTER_SECONDS = 30 * 24 * 3600
"""Servers remove unfinished uploads earlier than that."""


@dataclass(frozen=True)
class ResumeState:
    """An unfinished upload: the file as it was at the start, where its parts go, and the options."""

    server: str
    dataset: str
    path: str
    size_bytes: int
    modified_ns: int
    part_bytes: int
    key: str
    upload_id: str
    import_id: str
    filename: str
    options: dict[str, Any]

    def check(self) -> None:
        """Raise InvalidRequest if the file has changed since its first part was sent."""
        now = Path(self.path).stat()
        if (now.st_size, now.st_mtime_ns) != (self.size_bytes, self.modified_ns):
            raise InvalidRequest(
                f"{self.path} has changed since its upload was started: then {_described(self.size_bytes, self.modified_ns)},"
                f" now {_described(now.st_size, now.st_mtime_ns)}. Nothing was imported, since parts of two versions cannot be"
                " combined. Upload the file again without --resume."
            )


def find(server: str, dataset: str, path: Path) -> ResumeState | None:
    """Return the last unfinished upload of a file; None if there is none, or if its state cannot be read."""
    try:
        return ResumeState(**json.loads(_file(server, dataset, str(path.absolute())).read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def keep(upload: ResumeState) -> None:
    """Store the state of an upload, and delete states that are too old. Raises OSError."""
    file = _file(upload.server, upload.dataset, upload.path)
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    half = file.with_suffix(f".{os.getpid()}")
    half.write_text(json.dumps(asdict(upload), indent=1), "utf-8")
    half.replace(file)
    for other in file.parent.iterdir():
        with contextlib.suppress(OSError):
            if time.time() - other.stat().st_mtime > FORGOTTEN_AFTER_SECONDS:
                other.unlink()


def forget(upload: ResumeState) -> None:
    """Delete the state of a finished upload, unless another upload of the same file has been started since."""
    if find(upload.server, upload.dataset, Path(upload.path)) == upload:
        _file(upload.server, upload.dataset, upload.path).unlink(missing_ok=True)


def _file(server: str, dataset: str, path: str) -> Path:
    name = hashlib.sha256("\0".join((server, dataset, path)).encode("utf-8", "surrogateescape")).hexdigest()[:32]
    return platformdirs.user_state_path("bulkhead") / "uploads" / f"{name}.json"


def _described(size_bytes: int, modified_ns: int) -> str:
    return f"{size_bytes:,} bytes, written at {datetime.fromtimestamp(modified_ns / 1e9).isoformat(' ')}"
