"""An upload straight to S3 by the command line, as processes on real servers: killed in the middle, and gone on with."""

from __future__ import annotations

import hashlib
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from pipeline.contracts.states import State
from pipeline.settings import ROOT, Settings
from tests.support.web_app import Server
from web.app_context import AppContext

MIB = 1 << 20
PARTS = 8
PAUSE_SECONDS = 0.02


class SlowWay:
    """A slow connection to S3: bytes pass unchanged, few at a time. Counts the PUT requests of each part."""

    def __init__(self, endpoint: str) -> None:
        host, port = endpoint.removeprefix("http://").split(":")
        self._to = (host, int(port))
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.put: Counter[int] = Counter()
        self.pause_seconds = PAUSE_SECONDS
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
                onward = socket.create_connection(self._to)
            except OSError:
                return
            threading.Thread(target=self._carry, args=[connection, onward, True], daemon=True).start()
            threading.Thread(target=self._carry, args=[onward, connection, False], daemon=True).start()

    def _carry(self, one: socket.socket, other: socket.socket, is_up: bool) -> None:
        try:
            while data := one.recv(1 << 16):
                if is_up and (asked := re.match(rb"PUT \S*[?&]partNumber=(\d+)", data)):
                    self.put[int(asked[1])] += 1
                if is_up and len(data) > 4096:
                    time.sleep(self.pause_seconds)
                other.sendall(data)
        except OSError:
            pass
        finally:
            for end in (one, other):
                end.close()

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def slow_way(settings: Settings) -> Iterator[SlowWay]:
    way = SlowWay(str(settings.s3_endpoint))
    yield way
    way.close()


@pytest.fixture
def server(slow_way: SlowWay, settings: Settings, edges: AppContext, serve: Callable[[Settings], Server]) -> Server:
    """A web app whose signed addresses lead over the thin line."""
    return serve(settings.model_copy(update={"s3_endpoint": slow_way.url}))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Seven parts of eight MiB and a short one."""
    file, row = tmp_path / "large & räume.csv", b"r%08d,,a record that is a little longer\n"
    content = b"id,parentId,name\n" + b"".join(row % n for n in range(7 * 8 * MIB // len(row % 0) + 10_000))
    file.write_bytes(content)
    assert -(-len(content) // (8 * MIB)) == PARTS
    return file


@pytest.fixture
def begin(server: Server, file: Path, tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts `bulkhead upload`."""
    environment = {
        "PATH": "/usr/bin:/bin",
        "LC_ALL": "C.UTF-8",
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "BULKHEAD_HOME": str(tmp_path / "nowhere"),
        "BULKHEAD_URL": server.url,
        "BULKHEAD_API_KEY": server.key,
    }
    begun: list[subprocess.Popen[str]] = []

    def start(*options: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "pipeline.cli", "upload", str(file), *options]
        begun.append(
            subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        )
        return begun[-1]

    yield start
    for process in begun:
        process.kill()
        process.communicate()


def until(is_so: Callable[[], bool], what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def parts_there(edges: AppContext) -> dict[int, int]:
    """The parts that S3 has of the one upload, with their sizes."""
    [page] = edges.store.uploads("incoming/")
    [upload] = page
    return {part.number: part.size_bytes for part in edges.store.parts(upload.key, upload.upload_id)}


def in_the_middle(edges: AppContext, slow_way: SlowWay) -> None:
    until(lambda: slow_way.put.total() > 4, "the parts do not come")
    until(lambda: len(parts_there(edges)) >= 2, "no part is stored")


def is_all_there(edges: AppContext, import_id: str, file: Path) -> None:
    one = edges.ledger.imports.known(import_id)
    assert one.state is State.QUEUED
    digest = hashlib.sha256(edges.store.get_bytes(one.key)).hexdigest()
    assert digest == hashlib.sha256(file.read_bytes()).hexdigest()
    assert one.filename == file.name


def settled_parts(edges: AppContext) -> dict[int, int]:
    """Return the parts that are there once no more arrive: those under way at the kill come to their end."""
    there = parts_there(edges)
    while True:
        time.sleep(1.5)
        before, there = there, parts_there(edges)
        if there == before:
            return there


def test_killed_in_the_middle_it_goes_on_with_what_is_missing(
    begin: Callable[..., subprocess.Popen[str]], slow_way: SlowWay, edges: AppContext, file: Path
) -> None:
    asked = ("--direct", "--dry-run", "--on-error", "quarantine", "--max-errors", "3", "--delimiter", "comma")
    first = begin(*asked)
    in_the_middle(edges, slow_way)
    first.send_signal(signal.SIGKILL)
    first.wait(60)
    there = settled_parts(edges)
    assert 2 <= len(there) < PARTS
    slow_way.put.clear()
    slow_way.pause_seconds = 0

    second = begin("--resume")
    peak = 0
    while second.poll() is None:
        peak = max(peak, _memory(second.pid))
        time.sleep(0.01)
    out, said = second.communicate()

    assert second.returncode == 0, said
    assert slow_way.put == dict.fromkeys(set(range(1, PARTS + 1)) - there.keys(), 1)
    is_all_there(edges, out.strip(), file)
    options = edges.ledger.imports.known(out.strip()).options
    assert (options.dry_run, options.on_error, options.max_errors, options.delimiter) == (True, "quarantine", 3, ",")
    assert 0 < peak < 120 * MIB
    assert [*edges.store.uploads("incoming/")] == []


def test_interrupted_it_says_how_to_go_on(
    begin: Callable[..., subprocess.Popen[str]], slow_way: SlowWay, edges: AppContext, file: Path
) -> None:
    first = begin("--direct")
    in_the_middle(edges, slow_way)
    first.send_signal(signal.SIGINT)
    _, said = first.communicate(timeout=300)
    assert first.returncode == 130
    assert f"Continue with: bulkhead upload '{file}' -d records --resume" in said

    with file.open("ab") as stream:
        stream.write(b"one,more,record\n")
    changed = begin("--resume")
    _, said = changed.communicate(timeout=300)
    assert changed.returncode == 1
    assert "has changed since its upload was started" in said and "without --resume" in said
    assert "Continue with" not in said
    assert edges.ledger.imports.page(limit=5)[0].state is State.AWAITING_UPLOAD


def _memory(pid: int) -> int:
    try:
        return psutil.Process(pid).memory_info().rss
    except psutil.Error:
        return 0
