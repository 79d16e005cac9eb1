"""Check everything that Bulkhead needs; each check returns what it found, and how to fix it if it fails.

The only change that a check makes is one small object in S3, which it deletes again. No check depends on another, so that all
faults of a machine are reported at once.
"""

from __future__ import annotations

import shutil
import socket
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pipeline.errors import BulkheadError, NotReady, Unreachable
from pipeline.settings import Settings
from pipeline.units import GIB

if TYPE_CHECKING:
    from sqlalchemy import Engine

PYTHON_MIN = (3, 11)
DISK_BYTES_MIN = 2 * GIB
ANSWER_SECONDS = 5.0
LAG_SECONDS_MAX = 60.0


@dataclass(frozen=True)
class Result:
    """The result of one check. ``mend`` says how to fix a fault; it is empty if there is none."""

    name: str
    ok: bool
    detail: str
    mend: str = ""


class Wrong(NotReady):
    """A check failed: what is wrong (``detail``), and how to fix it (``mend``)."""

    def __init__(self, detail: str, mend: str) -> None:
        super().__init__(detail)
        self.mend = mend


Check = Callable[[Settings], str]
"""Returns what it found, or raises Wrong."""


def checks(settings: Settings) -> Iterator[Result]:
    """Run every check, in the order in which the parts are needed."""
    for name in CHECKS:
        yield checked(name, settings)


def checked(name: str, settings: Settings) -> Result:
    """Run one check."""
    try:
        return Result(name, True, CHECKS[name](settings))
    except Wrong as wrong:
        return Result(name, False, str(wrong), wrong.mend)
    except Exception as error:  # any error is a finding: the other checks still run
        detail = str(error) if isinstance(error, BulkheadError) else f"{type(error).__name__}: {error}"
        return Result(name, False, detail.strip().partition("\n")[0], f"Check the settings for {name}.")


# --- the machine ---


def _python(settings: Settings) -> str:
    if sys.version_info < PYTHON_MIN:
        raise Wrong(f"Python {sys.version.split()[0]}", "Install Python 3.11 or newer, then: make clean setup")
    return sys.version.split()[0]


def _disk(settings: Settings) -> str:
    folder = next(path for path in (settings.home, *settings.home.parents) if path.is_dir())
    free = shutil.disk_usage(folder).free
    found = f"{free / GIB:.1f} GiB free for {settings.home}"
    if free < DISK_BYTES_MIN:
        raise Wrong(found, f"Free some space, or set BULKHEAD_HOME to a disk with {DISK_BYTES_MIN // GIB} GiB free.")
    probe = folder / f".doctor-{uuid.uuid4()}"
    try:
        probe.touch()
    except OSError as error:
        raise Wrong(
            f"{folder} cannot be written: {error.strerror}", "Set BULKHEAD_HOME to a folder that you may write to."
        ) from error
    probe.unlink()
    return found


def _binaries(settings: Settings) -> str:
    beside = Path(sys.executable).parent
    there = {name: (beside / name).is_file() or shutil.which(name) is not None for name in ("temporal", "weed")}
    missing = [name for name, is_there in there.items() if not is_there]
    if missing:
        raise Wrong(f"not found: {', '.join(missing)}", "Install the packages of requirements.txt: make setup")
    return ", ".join(there)


def _port(settings: Settings) -> str:
    """Check that the web app's port is free, or used by Bulkhead."""
    at = urlsplit(settings.url)
    host, port = at.hostname or "127.0.0.1", at.port or (443 if at.scheme == "https" else 80)
    with socket.socket() as probe:
        probe.settimeout(ANSWER_SECONDS)
        if probe.connect_ex((host, port)):
            return f"{port} is free"
    if not _healthz(settings)[0]:
        raise Wrong(f"port {port} is used by another program", "Choose another port: bulkhead up --port 9000")
    return f"{port} is used by Bulkhead"


def _datasets(settings: Settings) -> str:
    from pipeline.datasets.dataset import dataset_names, load_dataset

    names = dataset_names(settings.datasets_root)
    for name in names:
        load_dataset(name, settings.datasets_root)
    if not names:
        raise Wrong(
            f"none in {settings.datasets_root}", "Set BULKHEAD_DATASETS_ROOT to the folder with expectations/ and sql/."
        )
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
        raise Wrong(f"not set: {', '.join(missing)}", "Start the embedded stack (bulkhead up), or set them as in .env.example.")
    return f"complete; BULKHEAD_HOME is {settings.home}"


@contextmanager
def _connected(url: str, *, otherwise: Wrong) -> Iterator[Engine]:
    """Connect to PostgreSQL for the block. Raises ``otherwise`` if it does not answer."""
    from pipeline.adapters import postgres

    engine = postgres.connect(url, pool_size=1, name="bulkhead doctor")
    try:
        if not postgres.is_up(engine):
            raise otherwise
        yield engine
    finally:
        engine.dispose()


@contextmanager
def _warehouse(settings: Settings) -> Iterator[Engine]:
    """Connect to the database at DATABASE_URL for the block. Raises Wrong if that is impossible."""
    if not settings.database_url:
        raise Wrong("DATABASE_URL is not set", "Start the embedded stack (bulkhead up), or set DATABASE_URL.")
    silent = Wrong("PostgreSQL does not answer", "Start it (bulkhead up), or check DATABASE_URL.")
    with _connected(settings.database_url, otherwise=silent) as engine:
        yield engine


def _database(settings: Settings) -> str:
    from sqlalchemy import text

    from pipeline.warehouse import migrate

    with _warehouse(settings) as engine:
        with engine.connect() as connection:
            server = connection.execute(text("show server_version")).scalar()
        version, newest = migrate.ledger_version(engine), migrate.newest_version()
    if version is None:
        raise Wrong("the database has no tables of Bulkhead", "Run: bulkhead migrate")
    if version != newest:
        fix = "Run: bulkhead migrate. If that does not know the version, run the release that created it, or a newer one."
        raise Wrong(f"the ledger is at version {version}, this release needs {newest}", fix)
    return f"PostgreSQL {server}, the ledger at version {version}"


def _tables(settings: Settings) -> str:
    """Check that each dataset's table is as its file declares it, and that only Bulkhead's role may write to it."""
    from pipeline.warehouse import migrate

    with _warehouse(settings) as engine:
        differing = migrate.differing_tables(engine, settings.datasets_root)
        writers = ", ".join(migrate.other_writers(engine))
    if wrong := [f"{name} {difference}" for name, difference in differing.items() if difference]:
        raise Wrong("; ".join(wrong), "Run: bulkhead migrate")
    if writers:
        fix = f"revoke insert, update, delete, truncate on all tables in schema warehouse from {writers};"
        raise Wrong(f"other roles than Bulkhead's may write to the warehouse: {writers}", fix)
    return f"as their files declare them: {', '.join(differing)}"


def _reads(settings: Settings) -> str:
    from pipeline.adapters import postgres

    if not settings.database_read_url:
        return "DATABASE_READ_URL is not set: records and SQL queries are read from DATABASE_URL"
    fix = "Start the replica, or unset DATABASE_READ_URL. Until then records and SQL queries cannot be read."
    silent = Wrong("PostgreSQL does not answer at DATABASE_READ_URL", fix)
    with _connected(settings.database_read_url, otherwise=silent) as engine:
        seen = postgres.replica_state(engine)
    if not seen.is_migrated:
        raise Wrong("the database at DATABASE_READ_URL has no warehouse", "Make it a replica of the database at DATABASE_URL.")
    if seen.lag_seconds > LAG_SECONDS_MAX:
        fix = "Check there whether it still receives (pg_stat_wal_receiver), and what delays it (pg_stat_activity)."
        raise Wrong(f"the replica is {seen.lag_seconds:,.0f} s behind", fix)
    return f"a replica, {seen.lag_seconds:.1f} s behind" if seen.is_replica else "another server, which is not a replica"


def _s3(settings: Settings) -> str:
    from pipeline.adapters.s3 import Store

    key, content = f"doctor/{uuid.uuid4()}", b"put, get and delete"
    store = Store.of(settings)
    try:
        store.put_bytes(key, content)
    except BulkheadError as error:
        mend = "Start it (bulkhead up), or check AWS_ENDPOINT_URL_S3, the AWS_* keys and BULKHEAD_BUCKET."
        raise Wrong(str(error), mend) from error
    try:
        if store.get_bytes(key) != content:
            raise Wrong(f"bucket {settings.bucket} returns other bytes than were stored", "Do not use this object store.")
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
        mend = "Start it (bulkhead up), or check TEMPORAL_ADDRESS."
        raise Wrong(f"Temporal does not answer at {settings.temporal_address}", mend) from error
    if not workers:
        raise Wrong(f"{where}: no worker is polling", "Start a worker: bulkhead worker (bulkhead up also starts one).")
    return f"{where}: {workers} {'worker' if workers == 1 else 'workers'}"


def _web(settings: Settings) -> str:
    is_healthy, answer = _healthz(settings)
    if not is_healthy:
        raise Wrong(f"{settings.url}: {answer}", "Start it (bulkhead up), or set BULKHEAD_URL to its URL.")
    return f"{settings.url} is healthy"


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
    "tables": _tables,  # after the reads: its rolled back changes reach a replica too, which would lag for a moment
    "S3": _s3,
    "Temporal": _temporal,
    "web": _web,
}
