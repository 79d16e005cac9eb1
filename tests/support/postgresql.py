"""PostgreSQL and PgBouncer on ports of their own: the oldest and the newest version that is supported, TLS, a pooler."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url

from pipeline.local import postgres
from pipeline.local.ports import HOST
from tests.support.prometheus import free_port
from tests.support.shared_stack import WITHOUT_DURABILITY
from tests.support.waiting import wait_until

OLDEST = Path("/usr/lib/postgresql/15/bin")
NEWEST = postgres._binary("postgres").parents[2] / "pginstall18" / "bin"
PGBOUNCER = Path("/usr/sbin/pgbouncer")
USER, PASSWORD = "bulkhead", "a-password-of-tests"
SMALL = {"listen_addresses": HOST, "unix_socket_directories": "", "shared_buffers": "64MB", "max_connections": "100"}


def require_program(path: Path, package: str) -> None:
    """Skip a test whose program is not installed; in CI it must be."""
    if not path.exists():
        assert os.environ.get("CI", "").lower() != "true", f"{path} is missing: install Debian's {package}"
        pytest.skip(f"{path} is missing: install Debian's {package}")


def unprivileged() -> int | None:
    """Return the user that servers run as: they refuse to run as root. None: as the tests do."""
    return postgres._another_user() if os.geteuid() == 0 else None


def give(path: Path) -> None:
    """Give a file or a folder to that user, and nothing in it to others."""
    user = unprivileged()
    path.chmod(0o700 if path.is_dir() else 0o600)
    if user is not None:
        os.chown(path, user, user)


@contextmanager
def folder_for_servers() -> Iterator[Path]:
    """A folder with a short path that the servers' user may pass through."""
    folder = Path(tempfile.mkdtemp(prefix="bh-pg-"))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def running(command: list[str], log: Path, stop: signal.Signals) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server as an unprivileged user for as long as the block lasts."""
    user = unprivileged()
    with log.open("ab") as out:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            cwd=log.parent,
            env={"PATH": os.defpath, "LC_ALL": "C.UTF-8", "TZ": "UTC"},
            user=user,
            group=user,
            extra_groups=[] if user is not None else None,
        )
    try:
        yield process
    finally:
        process.send_signal(stop)
        try:
            process.wait(timeout=300)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def answers(url: str) -> bool:
    """Return whether a server lets us in."""
    with suppress(psycopg.OperationalError), psycopg.connect(url, connect_timeout=2) as connection:
        return connection.execute("select true").fetchone() == (True,)
    return False


class Server:
    """A running PostgreSQL, with its data folder."""

    def __init__(self, data: Path, port: int) -> None:
        self.data = data
        self.port = port

    def url(self, database: str = "postgres", *, host: str = HOST, **parameters: str) -> str:
        """The URL of a database, with parameters of libpq."""
        made = make_url(f"postgresql://{USER}:{PASSWORD}@{host}:{self.port}/{database}").update_query_dict(parameters)
        return made.render_as_string(hide_password=False)


@contextmanager
def postgresql_15(settings: Mapping[str, str] | None = None, *, files: Mapping[str, bytes] | None = None) -> Iterator[Server]:
    """Run Debian's PostgreSQL 15. ``files`` are put into its data folder before it starts (certificates, pg_hba.conf)."""
    require_program(OLDEST / "postgres", "postgresql-15")
    with _postgresql(OLDEST, settings or {}, files or {}) as server:
        yield server


@contextmanager
def postgresql_18() -> Iterator[Server]:
    """Run PostgreSQL 18, which the wheel of the embedded server has beside its own version."""
    postgres._open_path(NEWEST / "postgres")
    with _postgresql(NEWEST, {}, {}) as server:
        yield server


@contextmanager
def _postgresql(programs: Path, settings: Mapping[str, str], files: Mapping[str, bytes]) -> Iterator[Server]:
    with folder_for_servers() as folder:
        data, secret, port = folder / "data", folder / "secret", free_port()
        data.mkdir()
        secret.write_text(PASSWORD)
        for path in (data, secret):
            give(path)
        user = unprivileged()
        subprocess.run(
            [
                *(str(programs / "initdb"), "-D", str(data), "-U", USER, "--pwfile", str(secret)),
                *("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"),
            ],
            check=True,
            capture_output=True,
            env={"PATH": os.defpath, "LC_ALL": "C.UTF-8", "TZ": "UTC"},
            user=user,
            group=user,
            extra_groups=[] if user is not None else None,
        )
        for name, content in files.items():
            (data / name).write_bytes(content)
            give(data / name)
        chosen = {**SMALL, **WITHOUT_DURABILITY, **settings}
        options = [piece for name, value in chosen.items() for piece in ("-c", f"{name}={value}")]
        log = folder / "postgres.log"
        with running([str(programs / "postgres"), "-D", str(data), "-p", str(port), *options], log, signal.SIGINT):
            server = Server(data, port)
            wait_until(lambda: answers(server.url()), 60)
            yield server


@contextmanager
def pgbouncer(server_url: str, **settings: str) -> Iterator[int]:
    """Run PgBouncer in transaction mode before a server, and return its port.

    It asks the server for the passwords of all roles but the server's owner, as an operator sets it up (auth_query).
    """
    require_program(PGBOUNCER, "pgbouncer")
    url, port = make_url(server_url), free_port()
    with folder_for_servers() as folder:
        users, config = folder / "userlist.txt", folder / "pgbouncer.ini"
        users.write_text(f'"{url.username}" "{url.password}"\n')
        chosen = {
            "listen_addr": HOST,
            "listen_port": str(port),
            "unix_socket_dir": "",
            "auth_type": "scram-sha-256",
            "auth_file": str(users),
            "auth_user": str(url.username),
            "auth_query": "select usename, passwd from pg_shadow where usename = $1",
            "pool_mode": "transaction",
            **settings,
        }
        lines = "\n".join(f"{name} = {value}" for name, value in chosen.items())
        config.write_text(f"[databases]\n* = host={url.host} port={url.port}\n\n[pgbouncer]\n{lines}\n")
        for path in (users, config):
            give(path)
        log = folder / "pgbouncer.log"
        with running([str(PGBOUNCER), str(config)], log, signal.SIGINT):
            wait_until(lambda: answers(url.set(port=port).render_as_string(hide_password=False)), 30)
            yield port
