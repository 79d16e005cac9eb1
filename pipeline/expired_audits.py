"""Remove the reports of audits that are no longer kept, by the rules of docs/decisions/0012.

Only of audits that have ended; the ledger records a removal before the first object is deleted; what lies in the bucket decides
what is looked at, so the next clean-up finds what a killed one has left. What the ledger does not know stays.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime

from pipeline.adapters.s3 import Store
from pipeline.contracts.object_keys import AUDITS
from pipeline.ledger.audits import Audits


@dataclass
class RemovedAudits:
    """What a clean-up removed of audits, and the reports of audits that the ledger does not know, which it left alone."""

    audits: int = 0
    objects: int = 0
    unknown: int = 0


def remove_reports(
    store: Store,
    audits: Audits,
    ended_by: datetime,
    *,
    dry_run: bool,
    trying: Callable[[str], AbstractContextManager[None]],
) -> RemovedAudits:
    """Remove the reports of all audits that had ended by then, or with ``dry_run`` only count them.

    ``trying`` makes a block whose errors are reported and do not stop the rest.
    """
    done = RemovedAudits()
    for datasets in store.folders(f"{AUDITS}/"):
        for dataset in datasets:
            for page in store.folders(dataset):
                _remove_of_page(store, audits, ended_by, page, done, dry_run=dry_run, trying=trying)
    return done


def _remove_of_page(
    store: Store,
    audits: Audits,
    ended_by: datetime,
    page: Sequence[str],
    done: RemovedAudits,
    *,
    dry_run: bool,
    trying: Callable[[str], AbstractContextManager[None]],
) -> None:
    by_id = {audit_id: prefix for prefix in page if (audit_id := _id_in(prefix.rstrip("/").rpartition("/")[2]))}
    ends = audits.ends(by_id)
    done.unknown += len(page) - len(ends)
    for audit_id, finished_at in ends.items():
        if finished_at is None or finished_at > ended_by:
            continue
        with trying(f"report of audit {audit_id}"):
            if dry_run:
                objects = sum(len(keys) for keys in store.pages(by_id[audit_id]))
            elif audits.mark_removed(audit_id, ended_by):
                objects = store.delete_prefix(by_id[audit_id])
            else:
                continue
            done.audits += 1
            done.objects += objects


def _id_in(name: str) -> str | None:
    """Return a name if it is an audit's ID as the ledger writes it, else None."""
    try:
        return name if str(uuid.UUID(name)) == name else None
    except ValueError:
        return None
