"""What there is for the key in use. Of what its datasets do not hold, nothing here says that it exists.

Whatever a view looks up by a name or an id that came with the request goes through this module: no other one of ``web`` reads
datasets or imports by itself (tests/unit/web/test_key_scope.py).
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
    """The dataset of that name. Raises UnknownDataset, naming those there are."""
    return load_dataset(name, app_context().settings.datasets_root, key_in_use().datasets)


def datasets() -> list[Dataset]:
    """Every dataset, by name."""
    root, key = app_context().settings.datasets_root, key_in_use()
    return [load_dataset(name, root) for name in dataset_names(root) if key.sees(name)]


def import_of(import_id: str) -> ImportRecord | None:
    """The import of that id, or None."""
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
    """A page of imports, newest first; ``before`` is the id of the last one seen, ``named`` a part of the file's name."""
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


def reader() -> SqlLogin:
    """Who the SQL of this key runs as."""
    return app_context().readers.of(key_in_use().datasets)
