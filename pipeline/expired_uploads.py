"""Abort multipart uploads that were left open: by browsers that were closed, and by processes of ours that were killed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime

from pipeline.adapters.s3 import OpenUpload, Store
from pipeline.contracts.object_keys import (
    AUDITS,
    DRAFTS,
    DROPPED,
    INCOMING,
    batches_prefix,
    import_id_in,
    is_import_id,
    report_prefix,
    results_prefix,
)
from pipeline.ledger.imports import Imports

ROOTS = (
    f"{INCOMING}/",
    f"{AUDITS}/",
    f"{DRAFTS}/",
    f"{DROPPED}/",
    *(of("").removesuffix("/") for of in (batches_prefix, results_prefix, report_prefix)),
)
"""Where files are stored that are sent in parts."""


def abort_uploads(
    store: Store,
    imports: Imports,
    unused_since: datetime,
    *,
    dry_run: bool,
    trying: Callable[[str], AbstractContextManager[None]],
) -> int:
    """Abort the uploads that began and last grew before then and that no import waits for; return how many they are.

    With ``dry_run`` they are only counted. ``trying`` makes a block whose errors are reported and do not stop the rest.
    """
    count = 0
    for root in ROOTS:
        for page in store.uploads(root):
            old = {upload: _import_in(upload.key) for upload in page if upload.begun <= unused_since}
            traces = imports.traces(filter(None, old.values()))
            for upload, id_ in old.items():
                trace = traces.get(id_ or "")
                if trace is None or trace.state.is_settled:
                    with trying(f"upload to {upload.key}"):
                        count += _abort(store, upload, unused_since, dry_run=dry_run)
    return count


def _abort(store: Store, upload: OpenUpload, unused_since: datetime, *, dry_run: bool) -> bool:
    """Abort an upload unless it grew since then; return whether it was, or would be, aborted."""
    if store.last_heard(upload) > unused_since:
        return False
    if not dry_run:
        store.abort(upload.key, upload.upload_id)
    return True


def _import_in(key: str) -> str | None:
    """Return the import ID in the key of any object of ours, or None."""
    root, _, rest = key.partition("/")
    if root == INCOMING:
        return import_id_in(key)
    name = rest.partition("/")[0]
    return name if is_import_id(name) else None
