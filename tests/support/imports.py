"""Find and make imports."""

from __future__ import annotations

from collections.abc import Callable

from pipeline.ledger.ledger import Ledger
from pipeline.ledger.models import ImportRecord

MakeImport = Callable[..., str]  # the states to go through; the dataset, the file name and columns by keyword; gives the id


def imports_of(ledger: Ledger, key: str) -> list[ImportRecord]:
    """Return the imports of the object at ``key``, newest first."""
    return [one for one in ledger.imports.page(limit=10_000) if one.key == key]
