"""Two gigabytes through the web app into S3: its memory hardly grows, and it writes no file."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from pipeline.adapters.s3 import Store
from pipeline.settings import Settings
from tests.support.memory import Growth

pytestmark = pytest.mark.gunicorn

MIB, GIB = 1 << 20, 1 << 30
BLOCK = os.urandom(MIB)
HEAD = b'--B\r\nContent-Disposition: form-data; name="file"; filename="big.csv"\r\n\r\n'
TAIL = b"\r\n--B--\r\n"
MARKED_AT_BLOCK = 4
"""By then the process that answers has loaded what an upload takes."""


class Sized:
    """A body of a known length, made as it is sent. Marks ``growth`` once the request is under way."""

    growth: Growth | None = None

    def __init__(self, size: int, head: bytes = b"", tail: bytes = b"") -> None:
        self._size, self._head, self._tail = size, head, tail
        self.digest = hashlib.sha256()

    def __len__(self) -> int:
        return len(self._head) + self._size + len(self._tail)

    def __iter__(self) -> Iterator[bytes]:
        yield self._head
        for block in range(self._size // MIB):
            if self.growth is not None and block == MARKED_AT_BLOCK:
                self.growth.mark()
            self.digest.update(BLOCK)
            yield BLOCK
        yield self._tail


class OpenFiles:
    """Every large file that a process or a descendant has open for writing while the block lasts."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.seen: set[str] = set()

    def _watch(self) -> None:
        while not self._over.wait(0.2):
            for process in [self._process, *self._process.children(recursive=True)]:
                self.seen |= {f.path for f in process.open_files() if f.mode != "r" and Path(f.path).stat().st_size > MIB}

    def __enter__(self) -> OpenFiles:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


@pytest.mark.parametrize(
    ("size", "wrap", "headers"),
    [
        pytest.param(2 * GIB, Sized, {}, marks=pytest.mark.thorough),
        (GIB // 2, lambda size: Sized(size, HEAD, TAIL), {"Content-Type": "multipart/form-data; boundary=B"}),
    ],
    ids=["2 GiB as a body", "512 MiB in a form"],
)
def test_big(
    server: Any, store: Store, settings: Settings, size: int, wrap: Callable[[int], Sized], headers: dict[str, str]
) -> None:
    url = f"{server.url}/v1/datasets/records/imports"
    small = requests.post(url, data=b"id\n" * 3 * MIB, headers=server.headers, timeout=300)  # what is loaded at first use
    assert small.status_code == 202
    body = wrap(size)
    with Growth(server.pid) as body.growth, OpenFiles(server.pid) as files:
        answer = requests.post(url, data=body, headers={**server.headers, **headers}, timeout=360)
    assert answer.status_code == 202, answer.text
    source = answer.json()["source"]
    assert source["size_bytes"] == size
    assert source["sha256"] == body.digest.hexdigest()
    stored = store.head(source["key"])
    assert stored is not None
    assert stored.size_bytes == size
    assert body.growth.bytes < 100 * MIB, f"grew by {body.growth.bytes / MIB:.0f} MiB"
    assert files.seen == set()
    assert sum(file.stat().st_size for file in settings.home.rglob("*") if file.is_file()) < MIB
