"""The web app behind gunicorn on a port of its own, and the fixtures that the integration and e2e tests share."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from pipeline.ledger.api_keys import ApiKeys, Role
from pipeline.settings import ROOT, Settings
from web.app_context import AppContext


@pytest.fixture
def edges(settings: Settings) -> Iterator[AppContext]:
    """The connections of the app to its servers."""
    with closing(AppContext.of(settings)) as edges:
        yield edges


@dataclass(frozen=True)
class Server:
    """A running web server, and the key of an uploader."""

    url: str
    key: str
    pid: int
    log: Path

    @property
    def address(self) -> tuple[str, int]:
        """The host and the port that a socket connects to."""
        host, port = self.url.removeprefix("http://").split(":")
        return host, int(port)

    @property
    def headers(self) -> dict[str, str]:
        """The headers that authenticate a request."""
        return {"Authorization": f"Bearer {self.key}"}


@pytest.fixture
def serve(edges: AppContext, tmp_path: Path) -> Iterator[Callable[[Settings], Server]]:
    """Starts the app behind gunicorn with these settings, with an uploader's key."""
    with ExitStack() as running:
        yield lambda settings: running.enter_context(served(settings, edges, tmp_path / "server.log"))


@contextmanager
def served(settings: Settings, edges: AppContext, log: Path) -> Iterator[Server]:
    """Run the app behind gunicorn for as long as the block lasts."""
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    with log.open("ab") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", "-c", "python:web.gunicorn", "web:create_app()"],
            env={
                "PATH": os.defpath,
                "LC_ALL": "C.UTF-8",
                **_environment(settings),
                "BULKHEAD_PORT": str(port),
                "BULKHEAD_URL": url,
            },
            cwd=ROOT,
            stderr=stderr,
        )
    try:
        _wait_for(url, process)
        yield Server(url, edges.keys.create("a test", Role.UPLOADER)[0], process.pid, log)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=300)
        print(log.read_text(), file=sys.stderr)


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert process.poll() is None, "gunicorn ended before it answered"
        try:
            if requests.get(f"{url}/healthz", timeout=2).ok:
                return
        except requests.RequestException:
            time.sleep(0.1)
    raise TimeoutError(f"gunicorn did not answer at {url}")


def _environment(settings: Settings) -> dict[str, str]:
    """The settings, as the environment of another process."""
    return {
        "BULKHEAD_HOME": str(settings.home),
        "BULKHEAD_SECRET_KEY": settings.secret_key,
        "DATABASE_URL": settings.database_url,
        "BULKHEAD_BUCKET": settings.bucket,
        "AWS_ENDPOINT_URL_S3": settings.s3_endpoint or "",
        "AWS_ACCESS_KEY_ID": settings.s3_access_key or "",
        "AWS_SECRET_ACCESS_KEY": settings.s3_secret_key or "",
        "TEMPORAL_ADDRESS": settings.temporal_address,
        "TEMPORAL_NAMESPACE": settings.temporal_namespace,
        "BULKHEAD_METRICS_TOKEN": settings.metrics_token,
        **({"BULKHEAD_METRICS_PORT": str(settings.metrics_port)} if settings.metrics_port else {}),
    }


@pytest.fixture
def keys(edges: AppContext) -> ApiKeys:
    """The keys in this test's database."""
    return edges.keys
