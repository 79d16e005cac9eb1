"""TLS to PostgreSQL as libpq has it, against a real server: what is accepted, what is refused, and what people are told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy.exc import OperationalError
from typer.testing import CliRunner

from pipeline.adapters import postgres, postgres_access
from pipeline.adapters.postgres_errors import as_ours
from pipeline.cli import doctor
from pipeline.cli.commands import app
from pipeline.errors import NotReady, Unreachable
from pipeline.settings import Settings
from pipeline.warehouse import sql_reader
from tests.support.certificates import Authority, Issued
from tests.support.postgresql import PASSWORD, Server, postgresql_15

HBA = """
hostssl certified all all cert
hostssl all       all all scram-sha-256
host    open      all all scram-sha-256
"""


def _with_tls(certificate: Issued, clients: Authority) -> dict[str, bytes]:
    return {
        "server.crt": certificate.certificate.read_bytes(),
        "server.key": certificate.key.read_bytes(),
        "clients.crt": clients.certificate.read_bytes(),
        "pg_hba.conf": HBA.encode(),
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("certificates")


@pytest.fixture(scope="module")
def authority(folder: Path) -> Authority:
    return Authority(folder)


@pytest.fixture(scope="module")
def server(authority: Authority) -> Iterator[Server]:
    """A server whose certificate is for the name localhost, not for its address, and that demands TLS."""
    files = _with_tls(authority.issue("localhost"), authority)
    with postgresql_15({"ssl": "on", "ssl_ca_file": "clients.crt"}, files=files) as server:
        with psycopg.connect(server.url(), autocommit=True) as connection:
            connection.execute("create database certified")
        yield server


def reached(url: str) -> bool:
    """Return whether a connection is encrypted. Raises Unreachable as every caller does."""
    engine = postgres.connect(url, pool_size=1)
    try:
        with engine.connect() as connection:
            return bool(connection.exec_driver_sql("select ssl from pg_stat_ssl where pid = pg_backend_pid()").scalar())
    except OperationalError as error:
        raise as_ours(error) from error
    finally:
        engine.dispose()


def test_each_mode_of_libpq_is_kept(server: Server, authority: Authority) -> None:
    root = str(authority.certificate)
    assert reached(server.url(sslmode="require"))
    assert reached(server.url(sslmode="verify-ca", sslrootcert=root))
    assert reached(server.url(host="localhost", sslmode="verify-full", sslrootcert=root))
    with pytest.raises(Unreachable, match=r"no encryption.*sslmode=verify-full and sslrootcert"):
        reached(server.url(sslmode="disable"))


def test_what_is_refused_says_what_is_wrong_where_and_what_to_do(
    server: Server, authority: Authority, folder: Path, oldest_postgres: Server
) -> None:
    other = Authority(folder, "another authority")
    for url, said in (
        (server.url(sslmode="verify-full", sslrootcert=str(authority.certificate)), "is for another host"),
        (
            server.url(host="localhost", sslmode="verify-full", sslrootcert=str(other.certificate)),
            "Renew it, or name the right",
        ),
        (server.url(sslmode="verify-full", sslrootcert="/no/such.pem"), "Set sslrootcert in the URL"),
        (oldest_postgres.url(sslmode="require"), "Switch it on in the server"),
        (server.url(sslmode="require").replace(PASSWORD, "wrong"), "Check the user and the password"),
        (server.url("certified", sslmode="require"), "The server wants a client certificate"),
        (f"postgresql://u:x@127.0.0.1:{server.port + 1}/x", "Check that the server runs"),
    ):
        with pytest.raises(Unreachable, match=said) as raised:
            reached(url)
        assert "127.0.0.1" in str(raised.value) and PASSWORD not in str(raised.value)


def test_an_expired_certificate_is_refused(authority: Authority) -> None:
    files = _with_tls(authority.issue("localhost", expired=True), authority)
    with postgresql_15({"ssl": "on"}, files=files) as server, pytest.raises(Unreachable, match="has expired, or is not from"):
        reached(server.url(host="localhost", sslmode="verify-full", sslrootcert=str(authority.certificate)))


def test_a_client_certificate_takes_the_place_of_a_password(server: Server, authority: Authority) -> None:
    mine = authority.issue("bulkhead")
    mine.key.chmod(0o600)
    given = {"sslmode": "require", "sslcert": str(mine.certificate), "sslkey": str(mine.key)}
    assert reached(server.url("certified", **given).replace(f":{PASSWORD}@", "@"))
    mine.key.chmod(0o644)
    with pytest.raises(Unreachable, match="chmod 600"):
        reached(server.url("certified", **given))


def test_commands_replica_and_sql_of_users_take_the_same_parameters(
    server: Server, authority: Authority, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    good = server.url(host="localhost", sslmode="verify-full", sslrootcert=str(authority.certificate))
    bad = server.url(sslmode="verify-full", sslrootcert=str(authority.certificate))
    settings = Settings(home=tmp_path, database_url=bad, database_read_url=good)
    assert "sslmode=verify-full" in sql_reader.sql_access(settings).conninfo
    assert "sslrootcert=" in sql_reader.sql_access(settings, "a_role").conninfo
    found = doctor.checked("PostgreSQL", settings)
    assert not found.ok and "does not match host name" in found.detail and "Use the name" in found.mend
    monkeypatch.setenv("DATABASE_URL", bad)
    monkeypatch.setenv("BULKHEAD_HOME", str(tmp_path))
    for command in (["migrate"], ["key", "list"]):
        done = CliRunner().invoke(app, command)
        said = " ".join(done.stderr.split())
        assert done.exit_code == 7 and "does not match host name" in said and "Use the name that it has in the URL" in said, (
            said
        )


def test_a_server_that_is_too_old_is_refused_before_anything_is_done(
    oldest_postgres: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "OLDEST_MAJOR", 16)
    with pytest.raises(NotReady, match=r"is version 15\.\d+, and Bulkhead needs 16 or newer"):
        reached(oldest_postgres.url())
    assert postgres_access.OLDEST_MAJOR == 15
