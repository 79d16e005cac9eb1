"""Checks of PostgreSQL: versions, the application's role, tables, marts, the replica, and space."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.cli.doctor.results import Doubtful, Wrong, clock_difference
from pipeline.display import counted, visible
from pipeline.secret_checks import is_local
from pipeline.settings import Settings
from pipeline.units import GIB

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from pipeline.adapters.postgres_access import DatabaseAccess

LAG_SECONDS_MAX = 60.0
MAJORS = range(15, 19)
"""The major versions of PostgreSQL that are supported: Debian's, and up to the newest."""

DISK_BYTES_MIN = 2 * GIB
STATEMENT_SECONDS = 5.0
EVENTS_VERIFIED = 1_000
"""How many of the newest events of the audit log are verified; `bulkhead audit-log verify` verifies all."""


@contextmanager
def connected(to: DatabaseAccess, *, otherwise: Wrong) -> Iterator[Engine]:
    """Connect to PostgreSQL for the block. Raises ``otherwise``, with the reason, if it does not answer."""
    from pipeline.adapters import postgres
    from pipeline.adapters.postgres_advice import advice_for
    from pipeline.adapters.postgres_errors import DATABASE_ERRORS, in_words

    engine = postgres.connect(to, pool_size=1, name="bulkhead doctor", statement_seconds=STATEMENT_SECONDS)
    try:
        try:
            engine.connect().close()
        except DATABASE_ERRORS as error:
            raise Wrong(f"{otherwise}: {in_words(error)}", f"{advice_for(str(error))} {otherwise.mend}".strip()) from error
        yield engine
    finally:
        engine.dispose()


@contextmanager
def warehouse(settings: Settings) -> Iterator[Engine]:
    """Connect to the database at DATABASE_URL for the block. Raises Wrong if that is impossible."""
    from pipeline.adapters.postgres_access import to_database

    if not settings.database_url:
        raise Wrong("DATABASE_URL is not set", "Start the embedded stack (bulkhead up), or set DATABASE_URL.")
    silent = Wrong("PostgreSQL does not answer", "Start it (bulkhead up), or check DATABASE_URL.")
    with connected(to_database(settings), otherwise=silent) as engine:
        yield engine


def versions(settings: Settings) -> str:
    """Check the versions of the server and of the ledger, and the server's clock."""
    from sqlalchemy import text

    from pipeline.warehouse import migrate

    with warehouse(settings) as engine:
        with engine.connect() as connection:
            before = datetime.now(tz=UTC)
            now, server, number = connection.execute(
                text("select clock_timestamp(), current_setting('server_version'), current_setting('server_version_num')::int")
            ).one()
            after = datetime.now(tz=UTC)
        version, newest = migrate.ledger_version(engine), migrate.newest_version()
    if version is None:
        raise Wrong("the database has no tables of Bulkhead", "Run: bulkhead migrate")
    if version != newest:
        fix = "Run: bulkhead migrate. If that does not know the version, run the release that created it, or a newer one."
        raise Wrong(f"the ledger is at version {version}, this release needs {newest}", fix)
    if (major := number // 10_000) not in MAJORS:
        state = Wrong if major < MAJORS.start else Doubtful
        raise state(f"PostgreSQL {server} is not supported", f"Use a version from {MAJORS.start} to {MAJORS.stop - 1}.")
    clock = clock_difference(now, before, after, "PostgreSQL")
    return f"PostgreSQL {server}, {clock}, the ledger at version {version}"


def role(settings: Settings) -> str:
    """Check that the application's role may do no more than it must."""
    from sqlalchemy import text

    with warehouse(settings) as engine, engine.connect() as connection:
        name, is_superuser = connection.execute(
            text("select rolname, rolsuper from pg_roles where rolname = current_user")
        ).one()
    if not is_superuser:
        return f"{name} is no superuser"
    said = f"{name} is a superuser"
    if is_local(settings):
        return f"{said}, of a stack on one machine"
    raise Doubtful(said, "Let the application connect as a role that owns its database but is no superuser (docs/security.md).")


def tables(settings: Settings) -> str:
    """Check that each dataset's table is as its file declares it, and that only Bulkhead's role may write to it."""
    from pipeline.cli.datasets_root import current_root
    from pipeline.warehouse import migrate

    with warehouse(settings) as engine:
        differing = migrate.differing_tables(engine, current_root(settings))
        if wrong := [f"{name} {difference}" for name, difference in differing.items() if difference]:
            raise Wrong("; ".join(wrong), "Run: bulkhead migrate")
        writers = ", ".join(migrate.other_writers(engine))
    if writers:
        fix = f"revoke insert, update, delete, truncate on all tables in schema warehouse from {writers};"
        raise Wrong(f"other roles than Bulkhead's may write to the warehouse: {writers}", fix)
    return f"as their files declare them: {', '.join(differing)}"


def audit_log(settings: Settings) -> str:
    """Check that the application's role cannot change the audit log, and that its newest events fit to each other."""
    from pipeline.ledger.audit_log import AuditLog

    with warehouse(settings) as engine:
        log = AuditLog(engine)
        found = log.protection()
        if found is None:
            raise Wrong("the database has no audit log yet", "Run: bulkhead migrate")
        fault = log.verify_newest(EVENTS_VERIFIED).fault
    if fault:
        raise Wrong(fault, "See bulkhead audit-log verify, and compare with an export that is kept elsewhere.")
    if not (found["is_superuser"] or found["is_owner"] or found["may_change"]):
        return f"{found['role']} may only read and append"
    what = "a superuser" if found["is_superuser"] else "its owner" if found["is_owner"] else "allowed to change it"
    said = f"protected by triggers only: {found['role']} is {what}"
    if is_local(settings):
        return said
    raise Doubtful(said, "Let the application connect as another role: BULKHEAD_MIGRATION_DATABASE_URL, see docs/security.md.")


def keys(settings: Settings) -> str:
    """Check that no API key that is in use is about to expire."""
    from pipeline.ledger.api_keys import WARN_BEFORE, ApiKeys

    with warehouse(settings) as engine:
        keys = ApiKeys(engine).list()
    soon = [f"{visible(key.name)} expires on {key.expires_at:%Y-%m-%d}" for key in keys if key.expires_soon]
    if soon:
        fix = "Rotate each with another expiry (bulkhead key list shows the IDs): bulkhead key rotate ID --expires 90d"
        raise Doubtful("; ".join(soon), fix)
    valid = sum(key.is_valid for key in keys)
    return f"{counted(valid, 'valid key')}, none expires within {WARN_BEFORE.days} days"


def marts(settings: Settings) -> str:
    """Check that the last refresh of every mart succeeded."""
    from pipeline.cli.datasets_root import current_root
    from pipeline.datasets.dataset import dataset_names
    from pipeline.warehouse.marts import Marts

    with warehouse(settings) as engine:
        all_marts = [mart for name in dataset_names(current_root(settings)) for mart in Marts(engine).states(name)]
    failed = [mart for mart in all_marts if mart.state == "failed"]
    if failed:
        said = "; ".join(f"{mart.name} has data of {mart.refreshed_at or 'no import'}: {mart.error}" for mart in failed)
        raise Doubtful(said, "Correct the mart in sql/marts/, or raise BULKHEAD_MART_SECONDS; the next import refreshes it.")
    return ", ".join(f"{mart.name} is {mart.state}" for mart in all_marts) or "none is materialized"


def reads(settings: Settings) -> str:
    """Check the server that records and SQL queries are read from."""
    from pipeline.adapters import postgres
    from pipeline.adapters.postgres_access import to_replica

    if not settings.database_read_url:
        return "DATABASE_READ_URL is not set: records and SQL queries are read from DATABASE_URL"
    fix = "Start the replica, or unset DATABASE_READ_URL. Until then records and SQL queries cannot be read."
    silent = Wrong("PostgreSQL does not answer at DATABASE_READ_URL", fix)
    with connected(to_replica(settings), otherwise=silent) as engine:
        seen = postgres.replica_state(engine)
    if not seen.is_migrated:
        raise Wrong("the database at DATABASE_READ_URL has no warehouse", "Make it a replica of the database at DATABASE_URL.")
    if seen.lag_seconds > LAG_SECONDS_MAX:
        fix = "Check there whether it still receives (pg_stat_wal_receiver), and what delays it (pg_stat_activity)."
        raise Wrong(f"the replica is {seen.lag_seconds:,.0f} s behind", fix)
    return f"a replica, {seen.lag_seconds:.1f} s behind" if seen.is_replica else "another server, which is not a replica"


def space(settings: Settings) -> str:
    """Check the disk of PostgreSQL where it is on this machine and may be seen; return the database's size."""
    from sqlalchemy import text

    with warehouse(settings) as engine, engine.connect() as connection:
        size = int(connection.execute(text("select pg_database_size(current_database())")).scalar_one())
        may_see = connection.execute(text("select pg_has_role(current_user, 'pg_read_all_settings', 'member')")).scalar()
        folder = connection.execute(text("show data_directory")).scalar_one() if may_see and is_local(settings) else ""
    found = f"the database has {size / GIB:.2f} GiB"
    if not folder or not Path(folder).is_dir():
        return f"{found}; its disk is not visible from here"
    free = shutil.disk_usage(folder).free
    if free < DISK_BYTES_MIN:
        raise Wrong(f"{found}, {free / GIB:.1f} GiB are free", "Free some space on the disk of PostgreSQL.")
    return f"{found}, {free / GIB:.1f} GiB are free"
