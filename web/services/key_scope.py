"""Look up datasets and imports for the key in use: what is outside its datasets does not exist for it.

Every look-up by a name or an id from a request goes through this module; no other module of ``web`` reads datasets or imports
by itself (tests/unit/web/test_key_scope.py).
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime

from pipeline.datasets.dataset import Dataset, dataset_names, load_dataset
from pipeline.ledger.models import ImportRecord
from pipeline.warehouse.query.sql_logins import SqlLogin
from web.app_context import app_context
from web.http.auth import key_in_use


def dataset(name: str) -> Dataset:
    """Return the dataset of that name. Raises UnknownDataset, which lists the known ones."""
    return load_dataset(name, app_context().settings.datasets_root, key_in_use().datasets)


def datasets() -> list[Dataset]:
    """Return all datasets of the key, by name."""
    root, key = app_context().settings.datasets_root, key_in_use()
    return [load_dataset(name, root) for name in dataset_names(root) if key.sees(name)]


def import_of(import_id: str) -> ImportRecord | None:
    """Return the import of that id, or None."""
    try:
        found = app_context().ledger.imports.get(str(uuid.UUID(import_id)))
    except ValueError:
        return None
    return found if found is not None and key_in_use().sees(found.dataset) else None


def imports(
    *,
    dataset: str | None = None,
    state: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    named: str | None = None,
    before: str | None = None,
    limit: int,
) -> Sequence[ImportRecord]:
    """Return a page of imports, newest first (keyset pagination).

    ``before``: id of the last import of the page before. ``named``: part of the file's name.
    """
    return app_context().ledger.imports.page(
        dataset=dataset,
        state=state,
        since=since,
        until=until,
        named=named,
        before=before,
        limit=limit,
        among=key_in_use().datasets,
    )


def sql_login() -> SqlLogin:
    """Return the PostgreSQL login that SQL of this key runs as."""
    return app_context().sql_logins.of(key_in_use().datasets)
