"""The commands of docker-compose.yml, run natively against the real servers: what the containers would start does start."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from pipeline.local import ports

pytestmark = pytest.mark.together  # they listen on ports of their own choice

ROOT = Path(__file__).resolve().parents[3]
SECRETS = {name: f"a-random-{name}" for name in ("POSTGRES_PASSWORD", "S3_SECRET", "RELAY_TOKEN", "BULKHEAD_SECRET_KEY")}


def composed() -> dict[str, dict[str, Any]]:
    """The services as `docker compose` would start them."""
    compose = Path(sys.executable).with_name("docker-compose")
    command = [compose, "-f", "docker-compose.yml", "--env-file", os.devnull, "config", "--format", "json"]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **SECRETS}, capture_output=True, text=True, check=True)
    services: dict[str, dict[str, Any]] = json.loads(done.stdout)["services"]
    return services


SERVICES = composed()


@pytest.fixture
def environment(environment: dict[str, str]) -> dict[str, str]:
    port, relay = ports.choose(18765), ports.choose(18766)
    return {
        **SERVICES["web"]["environment"],
        **environment,
        "BULKHEAD_URL": f"http://127.0.0.1:{port}",
        "BULKHEAD_PORT": str(port),
        "BULKHEAD_RELAY_PORT": str(relay),
        "BULKHEAD_BIND": "127.0.0.1",
    }


@pytest.fixture
def not_local(environment: dict[str, str]) -> dict[str, str]:
    """The same for a process that listens for other machines, as in a container."""
    return {**environment, "BULKHEAD_BIND": "0.0.0.0"}


@pytest.fixture
def started(environment: dict[str, str], request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(SERVICES[request.param]["command"], cwd=ROOT, env=environment, stdout=log, stderr=log)
    yield process
    process.terminate()
    assert process.wait(60) == 0, (tmp_path / "log").read_text()


def is_healthy(role: str, environment: dict[str, str]) -> bool:
    """Return what the image's health check says."""
    command = [sys.executable, "-m", "pipeline.local.health_check", role]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=False).returncode == 0


def until(true: object, process: subprocess.Popen[bytes], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert process.poll() is None, "it ended"
        try:
            if true():  # type: ignore[operator]
                return
        except requests.ConnectionError:
            pass
        time.sleep(0.1)
    raise AssertionError("it did not become healthy")


@pytest.mark.parametrize("started", ["web"], indirect=True)
def test_web(started: subprocess.Popen[bytes], environment: dict[str, str]) -> None:
    until(lambda: requests.get(f"{environment['BULKHEAD_URL']}/healthz", timeout=2).status_code == 200, started)
    assert is_healthy("web", environment)


@pytest.mark.parametrize("started", ["relay"], indirect=True)
def test_relay(started: subprocess.Popen[bytes], environment: dict[str, str]) -> None:
    url = f"http://127.0.0.1:{environment['BULKHEAD_RELAY_PORT']}/healthz"
    until(lambda: requests.get(url, timeout=2).status_code == 200, started)
    assert is_healthy("relay", environment)


@pytest.mark.parametrize("started", ["worker"], indirect=True)
def test_worker(started: subprocess.Popen[bytes], environment: dict[str, str]) -> None:
    until(lambda: is_healthy("worker", environment), started)


@pytest.mark.parametrize(
    ("service", "setting", "value"),
    [
        ("web", "BULKHEAD_SECRET_KEY", "change-me"),
        pytest.param("web", "BULKHEAD_SECRET_KEY", "", marks=pytest.mark.thorough),
        pytest.param("relay", "BULKHEAD_RELAY_TOKEN", "bulkhead-relay", marks=pytest.mark.thorough),
        ("relay", "BULKHEAD_RELAY_TOKEN", ""),
        ("worker", "AWS_SECRET_ACCESS_KEY", "bulkhead-secret"),
        ("worker", "DATABASE_URL", "postgresql://bulkhead:bulkhead@postgres:5432/bulkhead"),
        ("migrate", "DATABASE_URL", "postgresql://bulkhead:bulkhead@postgres:5432/bulkhead"),
    ],
)
def test_nothing_starts_with_a_known_or_an_empty_secret(
    not_local: dict[str, str], service: str, setting: str, value: str
) -> None:
    done = subprocess.run(
        SERVICES[service]["command"],
        cwd=ROOT,
        env={**not_local, setting: value},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert f"{setting} is" in done.stderr
    assert "secrets.token_urlsafe(32)" in done.stderr
    assert "Traceback" not in done.stderr


def test_migrate(environment: dict[str, str]) -> None:
    done = subprocess.run(
        SERVICES["migrate"]["command"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "table warehouse.places" in done.stdout
