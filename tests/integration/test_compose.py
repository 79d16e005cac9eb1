"""The commands of docker-compose.yml, run natively against the real servers: what the containers would start does start."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
import yaml

from pipeline.local import ports
from pipeline.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
SERVICES = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]


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
def started(environment: dict[str, str], request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(SERVICES[request.param]["command"], cwd=ROOT, env=environment, stdout=log, stderr=log)
    yield process
    process.terminate()
    assert process.wait(60) == 0, (tmp_path / "log").read_text()


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


@pytest.mark.parametrize("started", ["relay"], indirect=True)
def test_relay(started: subprocess.Popen[bytes], environment: dict[str, str]) -> None:
    url = f"http://127.0.0.1:{environment['BULKHEAD_RELAY_PORT']}/healthz"
    until(lambda: requests.get(url, timeout=2).status_code == 200, started)


@pytest.mark.parametrize("started", ["worker"], indirect=True)
def test_worker(started: subprocess.Popen[bytes], settings: Settings) -> None:
    until(lambda: (settings.home / "worker.ready").exists(), started)


def test_migrate(environment: dict[str, str]) -> None:
    done = subprocess.run(
        SERVICES["migrate"]["command"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "table warehouse.places" in done.stdout
