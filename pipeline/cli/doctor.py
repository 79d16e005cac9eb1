"""Checks of all that Bulkhead stands on: each says what it looked at, and how to mend it if it is not right.

A check changes nothing but one small object in S3, which it takes away again. No check depends on another: a machine
with three things wrong hears of all three.
"""

from __future__ import annotations

import shutil
import socket
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from pipeline.errors import BulkheadError, NotReady, Unreachable
from pipeline.settings import Settings
from pipeline.units import GIB

PYTHON_MIN = (3, 11)
DISK_BYTES_MIN = 2 * GIB
ANSWER_SECONDS = 5.0
LAG_SECONDS_MAX = 60.0


@dataclass(frozen=True)
class Result:
    """What one check found. ``mend`` is empty if all is well."""

    name: str
    ok: bool
    detail: str
    mend: str = ""


class Wrong(NotReady):
    """Something is not right: what, and how to mend it."""

    def __init__(self, detail: str, mend: str) -> None:
        super().__init__(detail)
        self.mend = mend


Check = Callable[[Settings], str]
"""Returns what it saw, or raises Wrong."""


def checks(settings: Settings) -> Iterator[Result]:
    """Run every check, in the order in which things are needed."""
    for name in CHECKS:
        yield checked(name, settings)


def checked(name: str, settings: Settings) -> Result:
    """Run one check."""
    try:
        return Result(name, True, CHECKS[name](settings))
    except Wrong as wrong:
        return Result(name, False, str(wrong), wrong.mend)
    except Exception as error:  # a doctor who faints is of no use: whatever it is, it is a finding
        detail = str(error) if isinstance(error, BulkheadError) else f"{type(error).__name__}: {error}"
        return Result(name, False, detail.strip().partition("\n")[0], f"Look into the settings for {name}.")


# --- the machine ---


def _python(settings: Settings) -> str:
    if sys.version_info < PYTHON_MIN:
        raise Wrong(f"Python {sys.version.split()[0]}", "Install Python 3.11 or newer, then: make clean setup")
    return sys.version.split()[0]


def _disk(settings: Settings) -> str:
    folder = next(path for path in (settings.home, *settings.home.parents) if path.is_dir())
    free = shutil.disk_usage(folder).free
    seen = f"{free / GIB:.1f} GiB free for {settings.home}"
    if free < DISK_BYTES_MIN:
        raise Wrong(seen, f"Make room, or set BULKHEAD_HOME to a disk with {DISK_BYTES_MIN // GIB} GiB free.")
    probe = folder / f".doctor-{uuid.uuid4()}"
    try:
        probe.touch()
    except OSError as error:
        raise Wrong(f"{folder} cannot be written: {error.strerror}", "Set BULKHEAD_HOME to a folder of yours.") from error
    probe.unlink()
    return seen


def _binaries(settings: Settings) -> str:
    beside = Path(sys.executable).parent
    there = {name: (beside / name).is_file() or shutil.which(name) is not None for name in ("temporal", "weed")}
    missing = [name for name, is_there in there.items() if not is_there]
    if missing:
        raise Wrong(f"not found: {', '.join(missing)}", "Install what is pinned in requirements.txt: make setup")
    return ", ".join(there)


def _port(settings: Settings) -> str:
    """The web app's port is ours already, or free to take."""
    at = urlsplit(settings.url)
    host, port = at.hostname or "127.0.0.1", at.port or (443 if at.scheme == "https" else 80)
    with socket.socket() as probe:
        probe.settimeout(ANSWER_SECONDS)
        if probe.connect_ex((host, port)):
            return f"{port} is free"
    if not _healthz(settings)[0]:
        raise Wrong(f"{port} is taken by something else", "Choose another port: bulkhead up --port 9000")
    return f"{port} is Bulkhead's"


def _datasets(settings: Settings) -> str:
    from pipeline.datasets.dataset import dataset_names, load_dataset

    names = dataset_names(settings.datasets_root)
    for name in names:
        load_dataset(name, settings.datasets_root)
    if not names:
        raise Wrong(f"none in {settings.datasets_root}", "Set BULKHEAD_DATASETS_ROOT to where expectations/ and sql/ are.")
    return ", ".join(names)


# --- the servers ---


def _settings(settings: Settings) -> str:
    needed = {
        "DATABASE_URL": settings.database_url,
        "AWS_ACCESS_KEY_ID": settings.s3_access_key,
        "AWS_SECRET_ACCESS_KEY": settings.s3_secret_key,
        "BULKHEAD_API_KEY": settings.api_key,
    }
    missing = [name for name, value in needed.items() if not value]
    if missing:
        raise Wrong(f"not set: {', '.join(missing)}", "Start the embedded stack (bulkhead up), or set them; see .env.example.")
    return f"complete, home is {settings.home}"


def _database(settings: Settings) -> str:
    from sqlalchemy import text

    from pipeline.adapters import postgres
    from pipeline.warehouse import migrate

    if not settings.database_url:
        raise Wrong("DATABASE_URL is not set", "bulkhead up, or set DATABASE_URL.")
    engine = postgres.connect(settings.database_url, pool_size=1, name="bulkhead doctor")
    try:
        if not postgres.is_up(engine):
            raise Wrong("PostgreSQL does not answer", "bulkhead up, or see whether DATABASE_URL is right.")
        with engine.connect() as connection:
            server = connection.execute(text("show server_version")).scalar()
        version, newest = migrate.ledger_version(engine), migrate.newest_version()
    finally:
        engine.dispose()
    if version is None:
        raise Wrong("the database has no tables of ours", "bulkhead migrate")
    if version != newest:
        mend = "bulkhead migrate; if that knows no such version, run the release that made it, or a newer one."
        raise Wrong(f"the ledger is at version {version}, this release works with {newest}", mend)
    return f"PostgreSQL {server}, the ledger at version {version}"


def _tables(settings: Settings) -> str:
    """Every dataset's table is there, is what its file declares, and is written by Bulkhead's role alone."""
    from pipeline.adapters import postgres
    from pipeline.warehouse import migrate

    if not settings.database_url:
        raise Wrong("DATABASE_URL is not set", "bulkhead up, or set DATABASE_URL.")
    engine = postgres.connect(settings.database_url, pool_size=1, name="bulkhead doctor")
    try:
        if not postgres.is_up(engine):
            raise Wrong("PostgreSQL does not answer", "bulkhead up, or see whether DATABASE_URL is right.")
        differing = migrate.differing_tables(engine, settings.datasets_root)
        writers = ", ".join(migrate.other_writers(engine))
    finally:
        engine.dispose()
    if wrong := [f"{name} {difference}" for name, difference in differing.items() if difference]:
        raise Wrong("; ".join(wrong), "bulkhead migrate")
    if writers:
        mend = f"revoke insert, update, delete, truncate on all tables in schema warehouse from {writers};"
        raise Wrong(f"not only Bulkhead may write to the warehouse: {writers}", mend)
    return f"as their files declare them: {', '.join(differing)}"


def _reads(settings: Settings) -> str:
    from pipeline.adapters import postgres

    if not settings.database_read_url:
        return "records and people's SQL are read where they are written; DATABASE_READ_URL is not set"
    engine = postgres.connect(settings.database_read_url, pool_size=1, name="bulkhead doctor")
    try:
        if not postgres.is_up(engine):
            mend = "Start the replica, or unset DATABASE_READ_URL: until then records and people's SQL cannot be read."
            raise Wrong("nothing answers at DATABASE_READ_URL", mend)
        seen = postgres.replica_state(engine)
    finally:
        engine.dispose()
    if not seen.is_migrated:
        raise Wrong("the database at DATABASE_READ_URL has no warehouse", "Let it be a replica of that at DATABASE_URL.")
    if seen.lag_seconds > LAG_SECONDS_MAX:
        mend = "Look whether it still receives (pg_stat_wal_receiver there), and what holds it up (pg_stat_activity there)."
        raise Wrong(f"the replica is {seen.lag_seconds:,.0f} s behind", mend)
    return f"a replica, {seen.lag_seconds:.1f} s behind" if seen.is_replica else "another server, which is no replica"


def _s3(settings: Settings) -> str:
    from pipeline.adapters.s3 import Store

    key, content = f"doctor/{uuid.uuid4()}", b"put, got and deleted"
    store = Store.of(settings)
    try:
        store.put_bytes(key, content)
    except BulkheadError as error:
        mend = "bulkhead up, or see whether AWS_ENDPOINT_URL_S3, the AWS_* keys and BULKHEAD_BUCKET are right."
        raise Wrong(str(error), mend) from error
    try:
        if store.get_bytes(key) != content:
            raise Wrong(f"{settings.bucket} gives other bytes than it was given", "Do not use this store.")
    finally:
        store.delete(key)
    return f"bucket {settings.bucket}: put, get and delete"


def _temporal(settings: Settings) -> str:
    from pipeline.adapters.temporal import TemporalClient

    where = f"{settings.temporal_address}, task queue {settings.task_queue}"
    try:
        with closing(TemporalClient.of(settings)) as temporal:
            workers = temporal.count_workers()
    except Unreachable as error:
        mend = "bulkhead up, or see whether TEMPORAL_ADDRESS is right."
        raise Wrong(f"Temporal does not answer at {settings.temporal_address}", mend) from error
    if not workers:
        raise Wrong(f"{where}: no worker is polling", "bulkhead worker (bulkhead up starts one).")
    return f"{where}: {workers} {'worker' if workers == 1 else 'workers'}"


def _web(settings: Settings) -> str:
    well, seen = _healthz(settings)
    if not well:
        raise Wrong(f"{settings.url}: {seen}", "bulkhead up, or set BULKHEAD_URL to where it runs.")
    return f"{settings.url} is well"


def _healthz(settings: Settings) -> tuple[bool, str]:
    import requests

    from pipeline.client.http import LOOPBACK

    session = requests.Session()
    session.trust_env = urlsplit(settings.url).hostname not in LOOPBACK
    try:
        answer = session.get(f"{settings.url.rstrip('/')}/healthz", timeout=ANSWER_SECONDS)
    except requests.RequestException:
        return False, "does not answer"
    return answer.ok, f"answers {answer.status_code}"


CHECKS: dict[str, Check] = {
    "Python": _python,
    "disk": _disk,
    "binaries": _binaries,
    "port": _port,
    "datasets": _datasets,
    "settings": _settings,
    "PostgreSQL": _database,
    "reads": _reads,
    "tables": _tables,  # after the reads: what it rolls back goes to a replica too, which would seem behind for a moment
    "S3": _s3,
    "Temporal": _temporal,
    "web": _web,
}
