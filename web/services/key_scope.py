"""Look up datasets and imports for the key in use: what is outside its datasets does not exist for it.

Every look-up by a name or an id from a request goes through this module; no other module of ``web`` reads datasets or imports
by itself (tests/unit/web/test_key_scope.py).
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from flask import g

from pipeline.datasets.dataset import Dataset, dataset_names, load_dataset
from pipeline.ledger.audit_record import AuditRecord
from pipeline.ledger.models import ImportRecord
from pipeline.warehouse.query.sql_logins import SqlLogin
from web.app_context import app_context
from web.http.auth import key_in_use


def _root() -> Path:
    """Return the folder to read datasets from, as of the present request."""
    if "datasets_root" not in g:
        g.datasets_root = app_context().datasets.root()
    root: Path = g.datasets_root
    return root


def look_again() -> None:
    """Have the present request see the datasets as they are now, after it has changed one."""
    g.pop("datasets_root", None)


def dataset(name: str) -> Dataset:
    """Return the dataset of that name. Raises UnknownDataset, which lists the known ones."""
    key = key_in_use()
    return replace(load_dataset(name, _root(), key.datasets), is_clear=key.unmask)


def datasets() -> list[Dataset]:
    """Return all datasets of the key, by name."""
    root, key = _root(), key_in_use()
    return [replace(load_dataset(name, root), is_clear=key.unmask) for name in dataset_names(root) if key.sees(name)]


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
    by: str | None = None,
    with_errors: bool = False,
    before: str | None = None,
    limit: int,
) -> Sequence[ImportRecord]:
    """Return a page of imports, newest first (keyset pagination).

    ``before``: id of the last import of the page before. ``named``: part of the file's name. ``by``: ID of the key or the user
    that created them, a part of its name, or ``me``.
    """
    key = key_in_use()
    return app_context().ledger.imports.page(
        dataset=dataset,
        state=state,
        since=since,
        until=until,
        named=named,
        by=key.id if by == "me" else by,
        with_errors=with_errors,
        before=before,
        limit=limit,
        among=key.datasets,
    )


def audit_of(dataset_name: str, audit_id: str) -> AuditRecord | None:
    """Return the audit of that id, or None if the dataset has none. Raises UnknownDataset."""
    known = dataset(dataset_name)
    try:
        found = app_context().ledger.audits.get(str(uuid.UUID(audit_id)))
    except ValueError:
        return None
    return found if found is not None and found.dataset == known.name else None


def audits(dataset_name: str, *, before: str | None = None, limit: int) -> Sequence[AuditRecord]:
    """Return a page of a dataset's audits, newest first (keyset pagination). Raises UnknownDataset.

    ``before``: id of the last audit of the page before.
    """
    return app_context().ledger.audits.page(dataset(dataset_name).name, before=before, limit=limit)


def sql_login() -> SqlLogin:
    """Return the PostgreSQL login that SQL of this key runs as."""
    key = key_in_use()
    hidden = {} if key.unmask else {one.name: one.masked for one in datasets() if one.masked}
    return app_context().sql_logins.of(key.datasets, hidden)
