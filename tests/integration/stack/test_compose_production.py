"""What the production Compose file runs, tried natively: its databases, its backups with a restore, and secrets from files."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from pipeline.local import postgres
from pipeline.local.component import Process
from pipeline.local.home import Home
from tests.support.compose_files import ROOT, composed
from tests.support.waiting import wait_until

FOLDER = ROOT / "deploy" / "compose"
VARIABLES = {"DOMAIN": "b.example.org", "FILES_DOMAIN": "f.example.org", "ACME_EMAIL": "a@example.org", "SECRETS": "./secrets"}
SERVICES: dict[str, Any] = composed("deploy/compose/production.yaml", VARIABLES, profiles="object-store")["services"]
BINARIES = postgres._binary("psql").parent


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """The home of a new PostgreSQL, whose superuser has the name that the image gives it."""
    home = Home(tmp_path_factory.mktemp("pg"))
    with pytest.MonkeyPatch.context() as changed:
        changed.setattr(postgres, "USER", "postgres")
        server = postgres.postgres(home)
    process = Process(server, home.logs / "postgres.log")
    try:
        wait_until(lambda: _answers(home), 300.0)
        yield home
    finally:
        process.stop()


def _answers(home: Home) -> bool:
    given = {"host": "127.0.0.1", "port": home.port_of("postgres"), "user": "postgres", "password": home.secret("postgres")}
    try:
        with psycopg.connect(**given, dbname="postgres", connect_timeout=2):
            return True
    except psycopg.OperationalError:
        return False


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory, home: Home) -> Path:
    """The secrets that setup.sh would make."""
    folder = tmp_path_factory.mktemp("secrets")
    for name in ("bulkhead_owner_db_password", "bulkhead_db_password", "temporal_db_password"):
        (folder / name).write_text(f"a-random-{name}")
    (folder / "postgres_password").write_text(home.secret("postgres"))
    return folder


@pytest.fixture(scope="module")
def surroundings(home: Home, secrets: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of the scripts: that of the service, with this machine's addresses."""
    return {
        "PATH": f"{BINARIES}{os.pathsep}{os.environ['PATH']}",
        "PGHOST": "127.0.0.1",
        "PGPORT": str(home.port_of("postgres")),
        "PGUSER": "postgres",
        "SECRETS": str(secrets),
        "LC_ALL": "C.UTF-8",
    }


@pytest.fixture(scope="module")
def databases(home: Home, surroundings: dict[str, str]) -> Callable[[str, str], psycopg.Connection[Any]]:
    """Connects as a role to a database, all of which the image's script has made."""
    given = surroundings | {"PGPASSWORD": home.secret("postgres")}
    subprocess.run(["sh", FOLDER / "postgres-databases.sh"], env=given, check=True, capture_output=True, timeout=300)
    port = home.port_of("postgres")
    passwords = {
        "bulkhead_owner": "a-random-bulkhead_owner_db_password",
        "bulkhead_app": "a-random-bulkhead_db_password",
        "temporal": "a-random-temporal_db_password",
        "postgres": home.secret("postgres"),
    }
    return lambda role, database: psycopg.connect(
        host="127.0.0.1", port=port, user=role, password=passwords[role], dbname=database, autocommit=True
    )


def backup(surroundings: dict[str, str], *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    command = ["sh", str(FOLDER / "backup.sh"), *arguments]
    return subprocess.run(command, env=surroundings | more, capture_output=True, text=True, check=False, timeout=360)


def test_each_role_has_its_own_databases_only(databases: Callable[[str, str], psycopg.Connection[Any]]) -> None:
    for role, database in (("bulkhead_owner", "bulkhead"), ("temporal", "temporal"), ("temporal", "temporal_visibility")):
        with databases(role, database) as connection:
            connection.execute("create table t (a integer)")
            connection.execute("insert into t values (1), (2)")
    for role, database in (("bulkhead_owner", "temporal"), ("bulkhead_app", "temporal"), ("temporal", "bulkhead")):
        with pytest.raises(psycopg.OperationalError, match="permission denied"):
            databases(role, database)
    with databases("bulkhead_app", "bulkhead") as connection:
        connection.execute("create role bulkhead_reader_of_a_test")
        for statement in ("create database another", "create table mine (a integer)", "select * from t"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)


# --- backups: the service's script, on a database and a bucket of the test's own ---


@pytest.fixture
def for_backups(environment: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """The environment of the service: its own names, with this test's servers."""
    own = {name: str(value) for name, value in SERVICES["backup"]["environment"].items() if name.startswith("BACKUP_")}
    return environment | own | {"BACKUP_TO": str(tmp_path / "backups"), "BACKUP_MARK": str(tmp_path / "mark")}


def test_a_backup_is_made_verified_and_restored(for_backups: dict[str, str], tmp_path: Path) -> None:
    assert "no backup was made" in backup(for_backups, "check", "86400").stderr
    done = backup(for_backups, "once")
    assert done.returncode == 0, done.stderr
    assert re.match(r"backup \d{8}T\d{6}Z in ", done.stdout)
    assert backup(for_backups, "check", "86400").returncode == 0
    for arguments in (["backup", "--verify"], ["restore", "--force"]):  # as README.md has them
        command = ["bulkhead", arguments[0], *arguments[1:], str(tmp_path / "backups")]
        ran = subprocess.run(command, env=for_backups, capture_output=True, text=True, check=False, timeout=360)
        assert ran.returncode == 0, ran.stderr
    os.utime(tmp_path / "mark", (0, 0))
    assert "the last backup is old" in backup(for_backups, "check", "86400").stderr


def test_a_failed_backup_is_told_and_leaves_none(for_backups: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = backup(for_backups, "once", BACKUP_TO=str(tmp_path / "file" / "backups"))
    assert done.returncode == 1 and "Not a directory" in " ".join(done.stderr.split())
    assert backup(for_backups, "check", "86400").returncode == 1


def test_the_backup_service_backs_up_and_stops_when_it_is_told(for_backups: dict[str, str]) -> None:
    service = SERVICES["backup"]
    assert service["entrypoint"] == ["/bin/sh", "/backup.sh"]
    process = subprocess.Popen(["sh", FOLDER / "backup.sh", *service["command"]], env=for_backups, stdout=subprocess.DEVNULL)
    try:
        wait_until(lambda: backup(for_backups, "check", "86400").returncode == 0, 300.0)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()


# --- secrets from files ---


def native(service: str, environment: dict[str, str], secrets: Path) -> dict[str, str]:
    """Return the environment of a service, with this machine's addresses, and its secrets in another folder."""
    own = {name: value.replace("/run/secrets", str(secrets)) for name, value in SERVICES[service]["environment"].items()}
    given = {name: value for name, value in environment.items() if name not in ("DATABASE_URL", "AWS_SECRET_ACCESS_KEY")}
    return {**own, **given, "BULKHEAD_BIND": "0.0.0.0", "BULKHEAD_DATASETS_ROOT": str(ROOT)}


def run(service: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = SERVICES[service]["command"]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=360)


def test_the_migration_runs_as_the_owner_and_the_application_cannot_change_the_audit_log(
    databases: Callable[[str, str], psycopg.Connection[Any]], home: Home, environment: dict[str, str], tmp_path: Path
) -> None:
    address = f"127.0.0.1:{home.port_of('postgres')}/bulkhead"
    (tmp_path / "database_url").write_text(f"postgresql://bulkhead_app:a-random-bulkhead_db_password@{address}")
    owner_url = f"postgresql://bulkhead_owner:a-random-bulkhead_owner_db_password@{address}"
    (tmp_path / "migration_database_url").write_text(owner_url)
    (tmp_path / "s3_secret_key").write_text(environment["AWS_SECRET_ACCESS_KEY"] + "\n")
    for _ in ("the first time", "once more"):
        done = run("migrate", native("migrate", environment, tmp_path))
        assert done.returncode == 0, done.stderr
        assert "privileges of bulkhead_app" in done.stdout and "table warehouse.places" in done.stdout
    with databases("bulkhead_app", "bulkhead") as connection:
        found = connection.execute("select count(*) from ledger.audit_event where action = 'migration'").fetchone()
        assert found == (2,)
        connection.execute(
            "insert into warehouse.places (id, name, kind, _import_id, _row) values ('a', 'A', 'Country', gen_random_uuid(), 1)"
        )
        for statement in (
            "delete from ledger.audit_event",
            "drop table ledger.audit_event",
            "alter table ledger.import add a text",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement.encode())


def test_the_migration_runs_with_one_role_too(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "database_url").write_text(environment["DATABASE_URL"] + "\n")
    (tmp_path / "s3_secret_key").write_text(environment["AWS_SECRET_ACCESS_KEY"] + "\n")
    given = native("migrate", environment, tmp_path)
    del given["BULKHEAD_MIGRATION_DATABASE_URL_FILE"]
    done = run("migrate", given)
    assert done.returncode == 0, done.stderr
    assert "table warehouse.places" in done.stdout


@pytest.mark.parametrize("service", ["migrate", "worker", "web", "relay"])
def test_a_missing_secret_is_named(service: str, environment: dict[str, str], tmp_path: Path) -> None:
    given = native(service, environment, tmp_path)
    given.pop("BULKHEAD_SECRET_KEY", None)
    done = run(service, given)
    assert done.returncode == 1
    for name in (name for name in SERVICES[service]["environment"] if name.endswith("_FILE")):
        assert f"{name} names {tmp_path}" in done.stderr
    assert "No such file or directory" in done.stderr and "Traceback" not in done.stderr
