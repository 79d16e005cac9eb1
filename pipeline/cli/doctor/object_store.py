"""Check of S3: a small object is stored, read and deleted, and the bucket's configuration is looked at."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pipeline.cli.doctor.network import reach
from pipeline.cli.doctor.results import Doubtful, Wrong, clock_difference
from pipeline.errors import BulkheadError
from pipeline.settings import Settings

if TYPE_CHECKING:
    from pipeline.adapters.s3 import Store

KEPT_PREFIXES = ("batches/", "reports/", "results/")
"""Only retention may remove these: a lifecycle rule does not know what is still needed."""


def object_store(settings: Settings) -> str:
    """Check the bucket of the settings."""
    from pipeline.adapters import s3_health
    from pipeline.adapters.s3 import Store

    store = Store.of(settings)
    _put_get_delete(store, settings.bucket)
    before = datetime.now(tz=UTC)
    seen = s3_health.look(store)
    clock = clock_difference(seen.clock, before, datetime.now(tz=UTC), "S3")
    removing = [prefix or "the whole bucket" for prefix in seen.lifecycle or () if _is_kept(prefix)]
    if removing:
        raise Doubtful(
            f"a lifecycle rule of bucket {settings.bucket} removes objects that may be needed: {', '.join(removing)}",
            "Remove the rule, and set BULKHEAD_KEEP_... instead (docs/operations.md).",
        )
    at = urlsplit(settings.s3_endpoint or "")
    secured = [reach(at.hostname or "", at.port or 443, tls=True)] if at.scheme == "https" else []
    told = [f"versioning {seen.versioning.lower()}"] if seen.versioning else []
    told += (
        ["no lifecycle rule that removes" if not seen.lifecycle else "lifecycle rules"] if seen.lifecycle is not None else []
    )
    told += [f"CORS for {', '.join(seen.cors_origins) or 'no origin'}"] if seen.cors_origins is not None else []
    return "; ".join(filter(None, [f"bucket {settings.bucket}: put, get and delete", *told, clock, *secured]))


def _is_kept(prefix: str) -> bool:
    return any(kept.startswith(prefix) or prefix.startswith(kept) for kept in KEPT_PREFIXES)


def _put_get_delete(store: Store, bucket: str) -> None:
    key, content = f"doctor/{uuid.uuid4()}", b"put, get and delete"
    try:
        store.put_bytes(key, content)
    except BulkheadError as error:
        mend = "Start it (bulkhead up), or check AWS_ENDPOINT_URL_S3, the AWS_* keys and BULKHEAD_BUCKET."
        raise Wrong(str(error), mend) from error
    try:
        if store.get_bytes(key) != content:
            raise Wrong(f"bucket {bucket} returns other bytes than were stored", "Do not use this object store.")
    finally:
        store.delete(key)
