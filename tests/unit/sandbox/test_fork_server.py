"""The fork server ends with the process that started it, also in the seconds that its imports take."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.sandbox.fork_server import ForkServer
from tests.support.waiting import wait_until


def test_a_server_that_still_imports_ends_when_its_worker_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = tmp_path / "begun"
    (tmp_path / "slow_to_import.py").write_text(f"import time\nopen({str(begun)!r}, 'w').close()\ntime.sleep(300)\n")
    monkeypatch.syspath_prepend(tmp_path)
    server = ForkServer("slow_to_import")
    server.start()
    assert server._process is not None and server._requests is not None
    try:
        wait_until(begun.exists, 60)
        assert server._process.poll() is None
        server._requests.close()  # as the kernel does when the worker is killed
        assert server._process.wait(60) == 0
    finally:
        server.stop()
