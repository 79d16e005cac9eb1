"""Remove the dumps of datasets that were dropped, once they have been kept for BULKHEAD_KEEP_DROPPED."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime

from pipeline.adapters.s3 import Store
from pipeline.warehouse.definitions import Definitions

DUMPS_AT_ONCE = 1_000
"""How many dumps one clean-up removes at most; the next one goes on."""


@dataclass
class RemovedDumps:
    """What a clean-up removed: datasets' dumps, and the objects that they had."""

    dropped: int = 0
    objects: int = 0


def remove_dumps(
    store: Store,
    definitions: Definitions,
    dropped_by: datetime,
    *,
    dry_run: bool,
    trying: Callable[[str], AbstractContextManager[None]],
) -> RemovedDumps:
    """Remove the dumps of all datasets that had been dropped by then, or with ``dry_run`` only count them.

    A dump is noted as removed when its objects are gone, so that the next clean-up finds what a killed one has left.
    ``trying`` makes a block whose errors are reported and do not stop the rest.
    """
    done = RemovedDumps()
    for dump in definitions.expired_dumps(dropped_by, DUMPS_AT_ONCE):
        with trying(f"dump of {dump['name']}"):
            if dry_run:
                objects = sum(len(page) for page in store.pages(dump["prefix"]))
            else:
                objects = store.delete_prefix(dump["prefix"])
                definitions.mark_removed(dump["id"])
            done.dropped += 1
            done.objects += objects
    return done
