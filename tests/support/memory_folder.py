"""Where the files of a run lie: in memory, if the machine has the room.

Copying and dropping a database for each test makes and removes some 1,000 files. On ext4 a fifth of all CPU time of the
integration tests went into looking for inodes that were not removed just now.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

MEMORY = Path("/dev/shm")
NEEDED_BYTES = 12 * 1024**3  # a run holds 2 to 3 GiB at its height


def in_memory() -> Path | None:
    """Return the folder of a file system in memory, None if there is none with enough room; ``TEST_ON_DISK=1`` forbids it."""
    if os.environ.get("TEST_ON_DISK") or not os.access(MEMORY, os.W_OK | os.X_OK) or not os.path.ismount(MEMORY):
        return None
    return MEMORY if min(shutil.disk_usage(MEMORY).free, _available_bytes()) >= NEEDED_BYTES else None


def _available_bytes() -> int:
    """The memory that the machine could give."""
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0
