"""Files on this machine's disk that are not kept any longer."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path


def remove(folder: Path, before: float, *, dry_run: bool = False) -> int:
    """Remove the files in a folder that were changed last before then (seconds since 1970), or only count them; their number.

    Folders in it stay, and what is in them. A folder that is not there has none.
    """
    old = [path for path in folder.iterdir() if path.is_file() and last_change(path) <= before] if folder.is_dir() else []
    if not dry_run:
        for path in old:
            path.unlink(missing_ok=True)
    return len(old)


def last_change(path: Path) -> float:
    """When a file, or anything in a folder, was changed last, in seconds since 1970; 0 if it is gone."""
    latest = 0.0
    for one in (path, *(path.rglob("*") if path.is_dir() else ())):
        with suppress(FileNotFoundError):
            latest = max(latest, one.lstat().st_mtime)
    return latest
