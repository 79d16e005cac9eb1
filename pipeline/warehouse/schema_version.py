"""Which release's code may run on the database: not older than its schema needs, not newer than the schema is.

Expand and contract: a migration only adds, so that the previous release can run on the new schema, beside the new processes.
What the previous release needs is removed one release later. That migration sets ``oldest_code`` to the version whose code can
run on it, and the database keeps that, as the comment on its table of versions.
"""

from __future__ import annotations

import re

import structlog
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import OperationalError

from pipeline.adapters.postgres import connect
from pipeline.adapters.postgres_access import DatabaseAccess
from pipeline.errors import Conflict, NotReady
from pipeline.warehouse.migrate import ledger_version, scripts

log = structlog.get_logger()

_COMMENT = "oldest code: {version}"
_READ = "select obj_description(to_regclass('public.alembic_version'), 'pg_class')"
UPGRADE = "docs/deployment-temporal.md, Rolling upgrade"


def oldest_code() -> str:
    """Return the oldest version whose code can run on the schema of this release; empty if all can."""
    return max(str(getattr(one.module, "oldest_code", "")) for one in scripts().walk_revisions())


def note_oldest_code(connection: Connection) -> None:
    """Store in the database, after its migration, which code can run on it."""
    comment = _COMMENT.format(version=oldest_code())
    connection.exec_driver_sql(f"comment on table public.alembic_version is '{comment}'")


def refuse_newer(version: str | None) -> None:
    """Raise Conflict if a newer release migrated the database to this version, which this release does not know."""
    newest = str(scripts().get_current_head())
    if version is not None and version not in {one.revision for one in scripts().walk_revisions()}:
        raise Conflict(
            f"The database is at version {version}, and this release knows versions up to {newest}: a newer release has"
            " migrated it. Nothing was changed. Run that release or a newer one. To go back for good, restore the backup that"
            f" was made before the upgrade ({UPGRADE})."
        )


def require(to: str | DatabaseAccess) -> None:
    """Raise NotReady if this release cannot run on the database. One that does not answer is left to later requests."""
    engine = connect(to, pool_size=1, name="bulkhead version")
    try:
        _require(engine)
    except OperationalError as error:
        log.warning("the database's version could not be checked", why=str(error.orig).strip())
    finally:
        engine.dispose()


def _require(engine: Engine) -> None:
    version, newest = ledger_version(engine), str(scripts().get_current_head())
    if version == newest:
        return
    if version is None or version in {one.revision for one in scripts().walk_revisions()}:
        at = "has no tables of Bulkhead" if version is None else f"is at version {version}"
        raise NotReady(f"The database {at}, and this release needs version {newest}. Run: bulkhead migrate")
    with engine.connect() as connection:
        comment = str(connection.exec_driver_sql(_READ).scalar() or "")
    needed = re.search(r"oldest code: (\w*)", comment)
    if needed is None or needed[1] > newest:
        raise NotReady(
            f"The database is at version {version}, and the code of this release (version {newest}) cannot run on it: a newer"
            " release migrated it. Start that release or a newer one. To go back for good, restore the backup that was made"
            f" before the upgrade ({UPGRADE})."
        )
    log.warning("the database is newer than this release, which can run on it", database=version, release=newest)
