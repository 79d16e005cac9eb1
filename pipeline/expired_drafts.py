"""Remove the drafts of forms that were left: files kept for longer than BULKHEAD_KEEP_DRAFTS."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime

from pipeline.adapters.s3 import Store
from pipeline.contracts.object_keys import DRAFTS


def remove_drafts(
    store: Store, stored_by: datetime, *, dry_run: bool, trying: Callable[[str], AbstractContextManager[None]]
) -> int:
    """Remove all drafts that were stored by then, or with ``dry_run`` only count them; return how many they are.

    ``trying`` makes a block whose errors are reported and do not stop the rest.
    """
    count = 0
    for page in store.pages(f"{DRAFTS}/"):
        for stored in page:
            if stored.modified is None or stored.modified > stored_by:
                continue
            with trying(f"draft {stored.key}"):
                if not dry_run:
                    store.delete_if(stored)
                    store.delete_folder(stored.key.rpartition("/")[0] + "/")
                count += 1
    return count
