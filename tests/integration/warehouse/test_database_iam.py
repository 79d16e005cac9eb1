"""Passwords that are renewed, on a real server that accepts only the newest: tokens of AWS IAM, and libpq's file."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest
from psycopg.sql import SQL, Identifier, Literal
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from pipeline.adapters import postgres, rds_tokens
from pipeline.adapters.postgres_access import DatabaseAccess, to_database
from pipeline.adapters.rds_tokens import RdsTokens
from pipeline.errors import SystemFault
from pipeline.settings import Settings
from pipeline.warehouse import sql_reader
from tests.support.postgresql import PASSWORD, Server

USER = "by_token"


class Clock:
    """The time that tokens are dated with."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(rds_tokens, "time", clock)
    monkeypatch.setattr(rds_tokens, "_made", {})
    return clock


@pytest.fixture
def access(oldest_postgres: Server, tmp_path: Path) -> Iterator[DatabaseAccess]:
    """The access of the settings to a role without a password."""
    with psycopg.connect(oldest_postgres.url(), autocommit=True) as owner:
        owner.execute(SQL("create role {} login").format(Identifier(USER)))
        settings = Settings(
            home=tmp_path,
            database_url=oldest_postgres.url().replace(f"bulkhead:{PASSWORD}@", f"{USER}@"),
            database_iam="aws",
            s3_region="eu-central-1",
            s3_access_key="AKIDEXAMPLE",
            s3_secret_key="an example",
        )
        yield to_database(settings)
        owner.execute(SQL("drop owned by {0}; drop role {0}").format(Identifier(USER)))


def accept_only(server: Server, token: str) -> None:
    """Have the server accept this token and no earlier one, as RDS does after 15 minutes."""
    with psycopg.connect(server.url(), autocommit=True) as owner:
        owner.execute(SQL("alter role {} password {}").format(Identifier(USER), Literal(token)))


def newest(access: DatabaseAccess) -> str:
    return str(access.secret()["password"])


def user_of(engine: Engine) -> str:
    with engine.connect() as connection:
        return str(connection.exec_driver_sql("select current_user").scalar())


def test_a_token_is_signed_for_host_port_and_user_and_kept_for_minutes(access: DatabaseAccess, clock: Clock) -> None:
    first = newest(access)
    asked = parse_qs(urlsplit(f"https://{first}").query)
    assert asked["Action"] == ["connect"] and asked["DBUser"] == [USER] and asked["X-Amz-Expires"] == ["900"]
    assert "eu-central-1/rds-db" in asked["X-Amz-Credential"][0]
    assert first.startswith(f"127.0.0.1:{access.parsed.port}/")
    rds_tokens._made[next(iter(rds_tokens._made))] = ("kept", 0.0)
    clock.now = rds_tokens.RENEW_SECONDS - 1
    assert newest(access) == "kept"
    clock.now = rds_tokens.RENEW_SECONDS + 1
    assert newest(access) != "kept"
    assert access.at(access.url.replace(USER, "bulkhead_reader")).secret()["password"] != newest(access)


def test_new_connections_take_the_newest_token_and_those_of_the_pool_live_on(
    access: DatabaseAccess, oldest_postgres: Server, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = iter(range(100))
    monkeypatch.setattr(RdsTokens, "_new", lambda self, host, port, user: f"token {next(made)} of {user}")
    accept_only(oldest_postgres, newest(access))
    engine = postgres.connect(access, pool_size=2, silence_seconds=0.2)
    with engine.connect() as first:
        assert first.exec_driver_sql("select current_user").scalar() == USER
        clock.now += rds_tokens.RENEW_SECONDS + 1
        accept_only(oldest_postgres, newest(access))
        with engine.connect() as second:  # a connection of its own
            assert second.exec_driver_sql("select current_user").scalar() == USER
            assert first.exec_driver_sql("select current_user").scalar() == USER
            # a session that asks on a second connection whether it is served logs in with the token of now
            assert second.exec_driver_sql("select pg_sleep(1), 7").one()[1] == 7
    server = postgres.liveness_of(access)
    assert server.is_well(10.0)
    engine.dispose()


def test_a_token_that_is_refused_is_replaced_at_the_next_attempt(
    access: DatabaseAccess, oldest_postgres: Server, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = iter(range(100))
    monkeypatch.setattr(RdsTokens, "_new", lambda self, host, port, user: f"token {next(made)}")
    accept_only(oldest_postgres, "token 1")
    engine = postgres.connect(access, pool_size=1)
    with pytest.raises(OperationalError, match="password authentication failed"):
        user_of(engine)
    assert user_of(engine) == USER
    engine.dispose()


def test_many_threads_share_a_token(access: DatabaseAccess, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    monkeypatch.setattr(RdsTokens, "_new", lambda self, host, port, user: made.append(user) or "a token")
    together = threading.Barrier(8)

    def ask(_: int) -> str:
        together.wait()
        return newest(access)

    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(ask, range(8))) == {"a token"}
    assert made == [USER]


def test_without_credentials_it_is_said_what_is_missing(clock: Clock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    access = DatabaseAccess(f"postgresql://{USER}@127.0.0.1:1/x", tokens=RdsTokens("eu-central-1"))
    engine = postgres.connect(access, pool_size=1)
    with pytest.raises(SystemFault, match=r"No token for PostgreSQL .* rds-db:connect"):
        engine.connect()


def test_readers_log_in_by_token_where_their_owner_does(database: str) -> None:
    """RDS has the role rds_iam; members of it log in by token."""
    engine = postgres.connect(database, pool_size=1)
    with engine.begin() as connection:
        connection.exec_driver_sql("create role rds_iam")
        try:
            sql_reader.make_reader(connection, "")
            member = "select pg_has_role('bulkhead_reader', 'rds_iam', 'member')"
            assert connection.exec_driver_sql(member).scalar() is True
        finally:
            connection.rollback()
    engine.dispose()


def test_a_password_file_of_libpq_is_read_at_each_connection(oldest_postgres: Server, tmp_path: Path) -> None:
    file = tmp_path / "pgpass"
    with psycopg.connect(oldest_postgres.url(), autocommit=True) as owner:
        owner.execute("create role by_file login")
        engine = postgres.connect(
            oldest_postgres.url(passfile=str(file)).replace(f"bulkhead:{PASSWORD}@", "by_file@"), pool_size=1
        )
        for secret in ("one", "two"):
            owner.execute(SQL("alter role by_file password {}").format(Literal(secret)))
            file.write_text(f"*:*:*:by_file:{secret}\n")
            file.chmod(0o600)
            assert user_of(engine) == "by_file"
            engine.dispose()
        owner.execute("drop role by_file")
