"""A login that is no superuser, as the one that Amazon RDS gives: it migrates, and says which limits it could not set."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import psycopg
import pytest
from sqlalchemy import make_url

from pipeline.local import postgres
from pipeline.warehouse import dataset_roles, migrate, sql_reader
from pipeline.warehouse.dataset_roles import DatasetRole
from tests.support.shared_stack import SharedStack

PASSWORD = "a-password-of-a-test"
SET = DatasetRole((f"places_{uuid.uuid4().hex}",))
"""A set of datasets of this run alone: its role is of the whole server."""


@pytest.fixture
def admin(stack: SharedStack) -> Iterator[psycopg.Connection[tuple[str, ...]]]:
    """A superuser's connection to the server."""
    with psycopg.connect(postgres.url(stack.home), autocommit=True) as connection:
        yield connection


@pytest.fixture
def managed(admin: psycopg.Connection[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of an empty database whose owner may make roles, and is no superuser; with a reader's role of its own name."""
    name = f"managed_{uuid.uuid4().hex[:12]}"
    reader = f"{name}_reader"
    monkeypatch.setattr(sql_reader, "READER_ROLE", reader)
    admin.execute(f"create role {name} login createrole password '{PASSWORD}'")
    admin.execute(f"create database {name} owner {name}")
    yield f"postgresql://{name}:{PASSWORD}@{admin.info.host}:{admin.info.port}/{name}"
    admin.execute(f"drop database {name} with (force)")
    admin.execute(f"drop role if exists {reader}, {SET.name}")
    admin.execute(f"revoke set on parameter temp_file_limit, track_activities from {name}")
    admin.execute(f"drop role {name}")


def settings_of(admin: psycopg.Connection[tuple[str, ...]], role: str) -> set[str]:
    """Return the settings that a role has in a database."""
    found = admin.execute(
        "select unnest(setconfig) from pg_db_role_setting join pg_roles on pg_roles.oid = setrole where rolname = %s", (role,)
    )
    return {setting for (setting,) in found}


def test_it_migrates_and_reports_the_limits_that_it_may_not_set(
    admin: psycopg.Connection[tuple[str, ...]], managed: str
) -> None:
    lines = [str(one) for one in migrate.migrate(managed)]
    reader = sql_reader.READER_ROLE
    assert (
        f"role {reader}, without temp_file_limit and track_activities, which only the database's administrator may set"
        " (docs/security.md)" in lines
    )
    assert settings_of(admin, reader) == {"search_path=warehouse", "default_transaction_read_only=on", "work_mem=16MB"}
    as_reader = make_url(managed).set(username=reader).render_as_string(hide_password=False)
    with psycopg.connect(as_reader) as connection:
        assert connection.execute("select count(*) from places").fetchone() == (0,)
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            connection.execute("delete from places")


def test_it_sets_the_limits_that_were_granted_to_it(admin: psycopg.Connection[tuple[str, ...]], managed: str) -> None:
    owner = make_url(managed).username
    admin.execute(f"grant set on parameter temp_file_limit to {owner}")
    reader = sql_reader.READER_ROLE
    assert any(str(one).startswith(f"role {reader}, without track_activities,") for one in migrate.migrate(managed))
    assert "temp_file_limit=1GB" in settings_of(admin, reader)
    admin.execute(f"grant set on parameter track_activities to {owner}")
    assert f"role {reader}" in [str(one) for one in migrate.migrate(managed)]
    assert settings_of(admin, reader) >= {"temp_file_limit=1GB", "track_activities=off"}


def test_a_set_of_datasets_gets_its_role_too(admin: psycopg.Connection[tuple[str, ...]], managed: str) -> None:
    migrate.migrate(managed)
    with psycopg.connect(managed, autocommit=True) as connection:
        dataset_roles.make(connection, SET, PASSWORD)
    assert settings_of(admin, SET.name) == {
        *(f"search_path={SET.name}", "default_transaction_read_only=on", "work_mem=16MB"),
    }
