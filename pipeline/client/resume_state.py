"""What is remembered of uploads that are not at their end, so that one that broke off goes on after its process was killed.

One small file an upload, in the user's state folder ($XDG_STATE_HOME/bulkhead/uploads), named by server, dataset and path. It
holds no key and nothing of the content.
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
"""No server keeps half an upload for so long."""


@dataclass(frozen=True)
class ResumeState:
    """An upload that was begun: of which file as it was then, where its parts go, and what was asked for."""

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
        """Raises InvalidRequest if the file is no longer the one whose parts were sent."""
        now = Path(self.path).stat()
        if (now.st_size, now.st_mtime_ns) != (self.size_bytes, self.modified_ns):
            raise InvalidRequest(
                f"{self.path} has changed since its upload was begun: then {_described(self.size_bytes, self.modified_ns)},"
                f" now {_described(now.st_size, now.st_mtime_ns)}. Parts of two versions make no file, so nothing of it is"
                " imported. Upload it anew, without --resume."
            )


def find(server: str, dataset: str, path: Path) -> ResumeState | None:
    """The upload of that file that was begun last and is not at its end; None also if what was kept cannot be read."""
    try:
        return ResumeState(**json.loads(_file(server, dataset, str(path.absolute())).read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def keep(upload: ResumeState) -> None:
    """Remember it, and let go of what is too old. Raises OSError."""
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
    """It is at its end; unless another upload of the same file has been begun since."""
    if find(upload.server, upload.dataset, Path(upload.path)) == upload:
        _file(upload.server, upload.dataset, upload.path).unlink(missing_ok=True)


def _file(server: str, dataset: str, path: str) -> Path:
    name = hashlib.sha256("\0".join((server, dataset, path)).encode("utf-8", "surrogateescape")).hexdigest()[:32]
    return platformdirs.user_state_path("bulkhead") / "uploads" / f"{name}.json"


def _described(size_bytes: int, modified_ns: int) -> str:
    return f"{size_bytes:,} bytes, written at {datetime.fromtimestamp(modified_ns / 1e9).isoformat(' ')}"
