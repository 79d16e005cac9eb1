"""An empty target for a restore: a database, a bucket and a Temporal namespace of its own on the shared servers."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from sqlalchemy import make_url

from pipeline.adapters.s3 import Store
from pipeline.settings import Settings
from tests.support.temporal_namespace import end_workflows, register_namespace


@contextmanager
def empty_target(settings: Settings, home: Path, *, bucket: str = "", database_url: str = "") -> Iterator[Settings]:
    """Provide the settings of a target for a restore; ``bucket`` and ``database_url`` name what has survived."""
    name = f"t-{uuid.uuid4().hex[:12]}"
    url = make_url(settings.database_url).set(database=name.replace("-", "_"))
    asyncio.run(register_namespace(settings.temporal_address, name))
    with psycopg.connect(settings.database_url, autocommit=True) as connection:
        connection.execute(f"create database {url.database}")  # type: ignore[arg-type]
    target = settings.model_copy(
        update={
            "home": home / name,
            "database_url": database_url or url.render_as_string(hide_password=False),
            "bucket": bucket or name,
            "temporal_namespace": name,
        }
    )
    store = Store.of(target)
    store.ensure_bucket()
    try:
        yield target
    finally:
        asyncio.run(end_workflows(settings.temporal_address, name))
        if not bucket:
            store.delete_prefix("")
            store._s3.delete_bucket(Bucket=store.bucket)
        with psycopg.connect(settings.database_url, autocommit=True) as connection:
            connection.execute(f"drop database {url.database} with (force)")  # type: ignore[arg-type]
