"""Retention of files on this machine's disk."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path


def remove(folder: Path, before: float, *, dry_run: bool = False) -> int:
    """Remove the files of a folder that were last changed before ``before`` (seconds since 1970); return their number.

    With ``dry_run`` only count them. Folders in it stay, with their content. A folder that does not exist has no files.
    """
    old = [path for path in folder.iterdir() if path.is_file() and last_change(path) <= before] if folder.is_dir() else []
    if not dry_run:
        for path in old:
            path.unlink(missing_ok=True)
    return len(old)


def last_change(path: Path) -> float:
    """Return when a file, or anything in a folder, was last changed, in seconds since 1970; 0 if it is gone."""
    latest = 0.0
    for one in (path, *(path.rglob("*") if path.is_dir() else ())):
        with suppress(FileNotFoundError):
            latest = max(latest, one.lstat().st_mtime)
    return latest
