"""Restore PostgreSQL from a backup: into a database without imports, or over one if that is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from pipeline.adapters import postgres_programs
from pipeline.adapters.postgres_access import DatabaseAccess, to_database, to_owner
from pipeline.backup.manifest import DUMP, Database, Manifest, folder_of
from pipeline.backup.places import Place
from pipeline.backup.progress import Tell
from pipeline.backup.snapshot import is_ours, records_in
from pipeline.errors import Conflict, InternalInconsistency, InvalidRequest
from pipeline.ledger.statements import execute
from pipeline.settings import Settings
from pipeline.sqlfiles import quoted
from pipeline.warehouse import migrate
from pipeline.warehouse.dataset_source import DatasetSource


@dataclass(frozen=True)
class RestoredDatabase:
    """What is in the database now. ``notes``: what the operator has to know or do about it."""

    imports: int
    records: dict[str, int]
    notes: tuple[str, ...]


def contents(engine: Engine) -> list[str]:
    """Return in words what a restore would replace in the database; empty if nothing."""
    with engine.connect() as connection:
        if connection.execute(text("select to_regclass('ledger.import')")).scalar() is None:
            return []
        imports = int(connection.exec_driver_sql("select count(*) from ledger.import").scalar_one())
        records = {name: count for name, count in records_in(connection).items() if count}
    found = [f"{imports:,} {'import' if imports == 1 else 'imports'}"] if imports else []
    return found + [f"{count:,} records of {name}" for name, count in records.items()]


def check_alone(engine: Engine) -> None:
    """Raise Conflict, naming them, if other processes of Bulkhead are connected: they would work on what is being replaced."""
    with engine.connect() as connection:
        found = [f"{row.name} ({row.sessions})" for row in execute(connection, "backup/sessions")]
    if found:
        raise Conflict(
            f"Processes of Bulkhead are connected to this database: {', '.join(found)}."
            " Stop web app and workers (or `bulkhead up`) first; start them again after the restore."
        )


def check_release(manifest: Manifest) -> None:
    """Raise InvalidRequest if the ledger of a backup is of a newer release than this one."""
    ours, its = migrate.newest_version(), manifest.database.ledger_version
    if its > ours:  # versions are numbers with leading zeros
        raise InvalidRequest(
            f"Backup {manifest.name} has a ledger at version {its}, and this release knows versions up to {ours}."
            f" Restore it with the release that made it (Bulkhead {manifest.bulkhead}) or a newer one."
        )


def restore_database(
    engine: Engine, access: DatabaseAccess, settings: Settings, place: Place, manifest: Manifest, *, say: Tell
) -> RestoredDatabase:
    """Replace all of Bulkhead's schemas by those of the backup, and migrate them to this release.

    ``engine`` connects by ``access``, as the owner of the ledger; the migration gives the application's role its privileges.
    Raises SystemFault if pg_restore fails: then the schemas are gone, and the restore has to be repeated.
    """
    database = manifest.database
    with engine.begin() as connection:
        notes, with_privileges = _make_roles(connection, database)
        major = int(connection.exec_driver_sql("select current_setting('server_version_num')::integer / 10000").scalar_one())
        for schema in execute(connection, "backup/schemas").scalars().all():
            if is_ours(schema):
                connection.exec_driver_sql(f"drop schema {quoted(schema)} cascade")
        connection.exec_driver_sql("drop table if exists public.alembic_version")
    postgres_programs.restore(
        access.with_secret(),
        _counted(place.read(folder_of(manifest.name) + DUMP), database.dump.size_bytes, say),
        server_major=major,
        dump_major=database.dump_major,
        with_privileges=with_privileges,
    )
    with engine.begin() as connection:
        execute(connection, "backup/renew_snapshots")
        execute(connection, "backup/renew_writes")
        records = records_in(connection)
        imports = int(connection.exec_driver_sql("select count(*) from ledger.import").scalar_one())
    _check_counts(manifest, imports, records)
    say("migration", 0, None)
    root = DatasetSource(settings, engine).root()  # the application's role has no privileges yet
    migrate.migrate(to_database(settings), owner=to_owner(settings), root=root)
    return RestoredDatabase(imports, records, tuple(notes))


def _counted(chunks: Iterator[bytes], size_bytes: int, say: Tell) -> Iterator[bytes]:
    done = 0
    for chunk in chunks:
        done += len(chunk)
        say("database, bytes", done, size_bytes)
        yield chunk


def _check_counts(manifest: Manifest, imports: int, records: dict[str, int]) -> None:
    """Raise InternalInconsistency unless the database has as much as it had when the backup was made."""
    expected = sum(manifest.database.imports.values())
    if imports != expected or records != dict(manifest.database.records):
        raise InternalInconsistency(
            f"The restored database has {imports:,} imports and the records {records}; backup {manifest.name} was made of"
            f" {expected:,} imports and the records {dict(manifest.database.records)}."
        )


def _make_roles(connection: Connection, database: Database) -> tuple[list[str], bool]:
    """Create the roles that have privileges in the backup; return notes, and whether privileges can be restored."""
    me, may_all, may_create = connection.exec_driver_sql(
        "select current_user::text, rolsuper, rolcreaterole or rolsuper from pg_roles where rolname = current_user"
    ).one()
    if me != database.role and not may_all:
        return [f"Privileges of other roles were not restored: the backup is of the role {database.role}, this is {me}."], False
    missing = _missing(connection, [role for role in (*database.roles, database.role) if role != me])
    if not missing:
        return [], True
    if not may_create:
        names = ", ".join(missing)
        return [f"Privileges of other roles were not restored: {names} do not exist, and {me} may not create roles."], False
    try:
        with connection.begin_nested():
            for role in missing:
                connection.exec_driver_sql(f"create role {quoted(role)} nologin")
    except DBAPIError as error:
        return [f"Privileges of other roles were not restored: {error.orig}"], False
    others = [role for role in missing if not role.startswith("bulkhead_reader")]  # a migration gives these their password
    return [f"Role {role} was created without a login: give it its password again." for role in others], True


def _missing(connection: Connection, roles: Sequence[str]) -> list[str]:
    there = connection.execute(text("select rolname from pg_roles where rolname = any(:names)"), {"names": [*roles]}).scalars()
    return sorted({*roles} - {*there})
