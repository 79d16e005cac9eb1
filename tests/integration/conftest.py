"""The web app on real servers: in this process behind Flask's client, or behind gunicorn on a port of its own."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from pipeline.ledger.api_keys import ApiKeys, Role
from pipeline.settings import Settings
from web import create_app
from web.app_context import AppContext

ROOT = Path(__file__).resolve().parents[2]


class Caller:
    """The API from the side of somebody with a key."""

    def __init__(self, client: FlaskClient, key: str) -> None:
        self._client = client
        self.key = key

    def __call__(self, method: str, path: str, **options: Any) -> TestResponse:
        headers = {"Authorization": f"Bearer {self.key}", **options.pop("headers", {})}
        return self._client.open(path, method=method, headers=headers, **options)

    def get(self, path: str, **options: Any) -> TestResponse:
        return self("GET", path, **options)

    def post(self, path: str, **options: Any) -> TestResponse:
        return self("POST", path, **options)

    def upload(self, content: bytes, *, dataset: str = "places", filename: str = "places.csv", **options: Any) -> TestResponse:
        return self.post(f"/v1/datasets/{dataset}/imports?filename={filename}", data=content, **options)


@pytest.fixture
def edges(settings: Settings) -> Iterator[AppContext]:
    """What the app stands on."""
    with closing(AppContext.of(settings)) as edges:
        yield edges


@pytest.fixture
def app(settings: Settings, edges: AppContext) -> Flask:
    """The app on this test's own edges."""
    return create_app(settings, context=edges)


@pytest.fixture
def key_for(edges: AppContext) -> Callable[[str], str]:
    """Makes a key for a role."""
    return lambda role: edges.keys.create(f"a test's {role}", Role(role))[0]


@pytest.fixture
def caller_for(app: Flask, key_for: Callable[[str], str]) -> Callable[[str], Caller]:
    """Somebody with a key for a role."""
    return lambda role: Caller(app.test_client(), key_for(role))


@pytest.fixture
def api(caller_for: Callable[[str], Caller]) -> Caller:
    """An uploader."""
    return caller_for("uploader")


@pytest.fixture
def browser(app: Flask, edges: AppContext) -> FlaskClient:
    """Somebody who has signed in; not a real browser, which the e2e tests have."""
    client = app.test_client()
    _, key = edges.keys.create("somebody", Role.ADMIN)
    assert follow_link(client, edges.keys.sign_in_token(key.id)).status_code == 303
    return client


def follow_link(client: FlaskClient, token: str, **options: Any) -> TestResponse:
    """Open the sign-in link with this token and press the button on its page."""
    page = client.get(f"/sign-in?token={token}", **options)
    fields = dict(re.findall(r'name="(csrf_token|token)" value="([^"]+)"', page.text))
    return client.post("/sign-in", data=fields, **options)


@dataclass(frozen=True)
class Server:
    """gunicorn, as it is started in earnest."""

    url: str
    key: str
    pid: int
    log: Path

    @property
    def address(self) -> tuple[str, int]:
        """Where a bare socket connects to."""
        host, port = self.url.removeprefix("http://").split(":")
        return host, int(port)

    @property
    def headers(self) -> dict[str, str]:
        """What opens the door."""
        return {"Authorization": f"Bearer {self.key}"}


@pytest.fixture
def serve(edges: AppContext, tmp_path: Path) -> Iterator[Callable[[Settings], Server]]:
    """Starts the app behind gunicorn with these settings, with an uploader's key."""
    with ExitStack() as running:
        yield lambda settings: running.enter_context(_served(settings, edges, tmp_path / "server.log"))


@pytest.fixture
def server(settings: Settings, serve: Callable[[Settings], Server]) -> Server:
    """The app behind gunicorn, on this test's own edges, with an uploader's key."""
    return serve(settings)


@contextmanager
def _served(settings: Settings, edges: AppContext, log: Path) -> Iterator[Server]:
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
        process.wait(timeout=30)
        print(log.read_text(), file=sys.stderr)


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
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
    }


@pytest.fixture
def keys(edges: AppContext) -> ApiKeys:
    """The keys in this test's database."""
    return edges.keys
