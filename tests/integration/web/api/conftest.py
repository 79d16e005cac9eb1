"""The fixtures of the tests of the API."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from pipeline.contracts.states import State
from tests.support.imports import MakeImport
from web.app_context import AppContext


@pytest.fixture
def make_import(edges: AppContext) -> MakeImport:
    """Makes an import that went through the given states."""

    def make(*way: State, dataset: str = "places", filename: str = "f.csv", **columns: Any) -> str:
        import_id = str(uuid.uuid4())
        key = f"incoming/{dataset}/{import_id}/{filename}"
        edges.ledger.imports.open(import_id, dataset=dataset, filename=filename, bucket=edges.store.bucket, key=key)
        edges.ledger.uploads.complete(import_id, size_bytes=10, sha256="ab", etag="e")
        for state in way:
            edges.ledger.imports.move(import_id, state)
        edges.ledger.imports.update(import_id, **columns)
        return import_id

    return make
