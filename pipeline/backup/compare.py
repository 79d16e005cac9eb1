"""Compare ledger and bucket: which imports lack the objects that belong to them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import RowMapping

from pipeline.adapters.s3 import Store
from pipeline.backup.index import Index
from pipeline.contracts.object_keys import INCOMING, report_prefix
from pipeline.contracts.states import ACTIVE, State
from pipeline.ledger.ledger import Ledger
from pipeline.ledger.statements import Statements

_PAGE = 1_000
_FIRST = "00000000-0000-0000-0000-000000000000"
_REPORTED = (State.SUCCEEDED, State.PARTIALLY_SUCCEEDED, State.REJECTED)
"""States in which every import has a validation report."""


@dataclass(frozen=True)
class Missing:
    """What an import lacks in the bucket, and what follows from it, in words."""

    import_id: str
    dataset: str
    filename: str
    state: str
    missing: tuple[str, ...]
    meaning: str


def missing_objects(ledger: Ledger, store: Store) -> Iterator[Missing]:
    """Yield the imports whose uploaded file or report is not in the bucket though retention has not removed it, by ID."""
    with Index() as there:
        for page in store.pages(f"{INCOMING}/"):
            there.update((stored.key, "") for stored in page)
        for folders in store.folders(report_prefix("").removesuffix("/")):
            there.update((folder, "") for folder in folders)
        after, statements = _FIRST, Statements(ledger.engine)
        while rows := statements.rows("backup/sources", after=after, limit=_PAGE):
            yield from filter(None, (_missing(row, there) for row in rows))
            after = rows[-1]["id"]


def _missing(row: RowMapping, there: Index) -> Missing | None:
    state, lacks = State(row["state"]), list[str]()
    if not row["is_source_removed"] and row["key"] not in there:
        lacks.append(row["key"])
    prefix = report_prefix(row["id"])
    if state in _REPORTED and not row["is_report_removed"] and prefix not in there:
        lacks.append(prefix)
    if not lacks:
        return None
    return Missing(row["id"], row["dataset"], row["filename"], state, tuple(lacks), _meaning(state, row["key"] in lacks))


def _meaning(state: State, is_source: bool) -> str:
    if state in ACTIVE and is_source:
        return "cannot be finished without its file: it ends with that reason; upload the file again"
    if is_source:
        return "its records stay as they are; its file cannot be downloaded or retried"
    return "its records stay as they are; its report is gone"
