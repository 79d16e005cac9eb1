"""A warm server serves one command after another, and ends when there has been none for a while."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from pipeline.sandbox import process
from pipeline.sandbox.warm_server import WarmServer, socket_folder
from tests.support.waiting import wait_until

LONG = 600.0


def parent() -> int:
    """Return the process id of the server."""
    return os.getppid()


def sleep(born: str) -> None:
    """Write the process id into a file, and go on for long."""
    Path(born).write_text(str(os.getpid()))
    time.sleep(LONG)


@pytest.fixture
def folder(short_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of sockets."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(short_folder))
    found = socket_folder()
    assert found is not None
    return found


Serve = Callable[..., int]


@pytest.fixture
def serve(folder: Path) -> Iterator[Serve]:
    """Does what a command does, and returns the process id of the server. The servers end with the test."""
    pids: set[int] = set()

    def command(idle_seconds: float = LONG) -> int:
        server = WarmServer(folder, idle_seconds, "json")
        pid = process.run(parent, memory_bytes=1 << 30, seconds=60.0, server=server)
        server.stop()
        pids.add(pid)
        return pid

    yield command
    for pid in pids:
        with suppress(ChildProcessError, ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def test_the_next_command_has_the_same_server(serve: Serve, folder: Path) -> None:
    first = serve()
    assert serve() == first
    assert os.getsid(first) == first, "no terminal's Ctrl-C is for it"
    assert Path(f"/proc/{first}/cwd").readlink() == Path("/")
    assert [Path(f"/proc/{first}/fd/{number}").readlink() for number in (0, 1, 2)] == [Path(os.devnull)] * 3
    assert len(list(folder.glob("*.sock"))) == 1


def test_commands_that_start_at_once_start_one_server(serve: Serve) -> None:
    with ThreadPoolExecutor(4) as commands:
        assert len({*commands.map(lambda _: serve(), range(8))}) == 1


def test_it_ends_when_no_command_has_used_it(serve: Serve, folder: Path) -> None:
    first = serve(0.2)
    assert os.waitpid(first, 0)[1] == 0
    assert list(folder.glob("*.sock")) == []
    second = serve(0.2)
    assert second != first


def test_a_command_that_comes_while_it_ends_is_served(serve: Serve) -> None:
    """Each pause is about as long as the server waits, so some commands come at the moment of its end."""
    for pause in range(8):
        assert serve(0.05) > 0
        time.sleep(0.046 + pause / 1000)


def test_the_work_of_a_command_that_is_killed_ends_and_the_server_does_not(serve: Serve, folder: Path, tmp_path: Path) -> None:
    first, born = serve(), tmp_path / "born"
    command = os.fork()
    if command == 0:
        process.run(sleep, str(born), memory_bytes=1 << 30, seconds=LONG, server=WarmServer(folder, LONG, "json"))
    wait_until(lambda: born.exists() and born.read_text() != "")
    child = psutil.Process(int(born.read_text()))
    assert child.ppid() == first
    os.kill(command, signal.SIGKILL)
    os.waitpid(command, 0)
    wait_until(lambda: not child.is_running())
    assert serve() == first


def test_a_server_that_was_killed_is_started_anew(serve: Serve) -> None:
    first = serve()
    os.kill(first, signal.SIGKILL)
    os.waitpid(first, 0)
    assert serve() != first


def test_a_server_that_ends_under_a_connected_command_is_started_anew(folder: Path, serve: Serve) -> None:
    first = serve()
    server = WarmServer(folder, LONG, "json")
    server.start()
    os.kill(first, signal.SIGKILL)
    os.waitpid(first, 0)
    second = process.run(parent, memory_bytes=1 << 30, seconds=60.0, server=server)
    server.stop()
    assert second != first
    assert serve() == second


@pytest.mark.parametrize("what", ["the environment", "the file mode"])
def test_a_command_that_would_start_another_server_does(serve: Serve, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    first = serve()
    if what == "the environment":
        monkeypatch.setenv("TZ", "Asia/Tokyo")
        assert serve() != first
        return
    before = os.umask(0o027)
    try:
        assert serve() != first
    finally:
        os.umask(before)
    assert serve() == first


def test_a_folder_that_others_may_enter_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: Path, short_folder: Path
) -> None:
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o755)
    assert socket_folder() is None
    folder.rmdir()
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    folder.symlink_to(tmp_path / "elsewhere")
    assert socket_folder() is None
    folder.unlink()
    folder.write_text("")
    assert socket_folder() is None
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    monkeypatch.setenv("TMPDIR", str(short_folder))
    monkeypatch.setattr("tempfile.tempdir", None)
    assert socket_folder() == short_folder / f"bulkhead-{os.geteuid()}"


def test_a_folder_whose_path_is_too_long_for_a_socket_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = tmp_path / ("x" * 80)
    long.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(long))
    assert socket_folder() is None
    assert list(long.iterdir()) == []
