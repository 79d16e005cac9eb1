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

from pipeline.settings import Settings
from pipeline.store import Store

MIB, GIB = 1 << 20, 1 << 30
BLOCK = os.urandom(MIB)
HEAD = b'--B\r\nContent-Disposition: form-data; name="file"; filename="big.csv"\r\n\r\n'
TAIL = b"\r\n--B--\r\n"


class Sized:
    """A body of a known length, made as it is sent."""

    def __init__(self, size: int, head: bytes = b"", tail: bytes = b"") -> None:
        self._size, self._head, self._tail = size, head, tail
        self.digest = hashlib.sha256()

    def __len__(self) -> int:
        return len(self._head) + self._size + len(self._tail)

    def __iter__(self) -> Iterator[bytes]:
        yield self._head
        for _ in range(self._size // MIB):
            self.digest.update(BLOCK)
            yield BLOCK
        yield self._tail


class Watch:
    """The largest memory, and every file open for writing, of a process and its children."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self.before = self.peak = self._now()
        self.files: set[str] = set()

    def _all(self) -> list[psutil.Process]:
        return [self._process, *self._process.children(recursive=True)]

    def _now(self) -> int:
        return sum(process.memory_info().rss for process in self._all())

    def _watch(self) -> None:
        while not self._over.wait(0.2):
            self.peak = max(self.peak, self._now())
            for process in self._all():
                self.files |= {f.path for f in process.open_files() if f.mode != "r" and Path(f.path).stat().st_size > MIB}

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


@pytest.mark.parametrize(
    ("size", "wrap", "headers"),
    [
        (2 * GIB, Sized, {}),
        (GIB // 2, lambda size: Sized(size, HEAD, TAIL), {"Content-Type": "multipart/form-data; boundary=B"}),
    ],
    ids=["2 GiB as a body", "512 MiB in a form"],
)
def test_big(
    server: Any, store: Store, settings: Settings, size: int, wrap: Callable[[int], Sized], headers: dict[str, str]
) -> None:
    url = f"{server.url}/v1/datasets/records/imports"
    small = requests.post(url, data=b"id\n" * 3 * MIB, headers=server.headers, timeout=60)  # what is loaded at first use
    assert small.status_code == 202
    body = wrap(size)
    with Watch(server.pid) as watch:
        answer = requests.post(url, data=body, headers={**server.headers, **headers}, timeout=120)
    assert answer.status_code == 202, answer.text
    source = answer.json()["source"]
    assert source["size_bytes"] == size
    assert source["sha256"] == body.digest.hexdigest()
    stored = store.head(source["key"])
    assert stored is not None
    assert stored.size_bytes == size
    assert watch.peak - watch.before < 100 * MIB, f"grew by {(watch.peak - watch.before) / MIB:.0f} MiB"
    assert watch.files == set()
    assert sum(file.stat().st_size for file in settings.home.rglob("*") if file.is_file()) < MIB
    print(f"{(watch.peak - watch.before) / MIB:.0f} MiB more at the peak, after {watch.before / MIB:.0f}")
