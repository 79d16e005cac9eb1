"""Each process of an embedded stack has a port for its metrics, and Prometheus finds it."""

from __future__ import annotations

import json
import socket
from contextlib import closing
from pathlib import Path

import pytest
import requests

from pipeline.errors import InvalidConfiguration
from pipeline.local import metrics, ports
from pipeline.local.component import Component
from pipeline.local.home import Home
from pipeline.local.relay_metrics import start_relay_metrics
from pipeline.settings import Settings
from pipeline.telemetry.metrics import switch_on

COMPONENTS = [Component(name, ["true"], lambda: True, {"X": "y"}) for name in ("relay", "worker", "web")]


def given(components: list[Component]) -> dict[str, int]:
    return {one.name: int(one.environment["BULKHEAD_METRICS_PORT"]) for one in components}


def test_ports_follow_each_other_if_they_are_free(tmp_path: Path) -> None:
    first = ports.choose(ports.OURS.start)
    home = Home(tmp_path)
    home.lock()
    found = given(metrics.with_ports(home, COMPONENTS, first))
    assert found["web"] == first
    assert len(set(found.values())) == 3
    assert given(metrics.with_ports(home, COMPONENTS, first)) == found
    targets = json.loads((tmp_path / "metrics" / "targets.json").read_text())
    assert {one["labels"]["process"]: one["targets"] for one in targets} == {
        name: [f"127.0.0.1:{port}"] for name, port in found.items()
    }
    home.unlock()


def test_a_port_that_is_taken_is_passed_over(tmp_path: Path) -> None:
    with closing(socket.create_server((ports.HOST, 0))) as taken:
        port = taken.getsockname()[1]
        home = Home(tmp_path)
        home.lock()
        found = given(metrics.with_ports(home, COMPONENTS, port))
        home.unlock()
    assert port not in found.values()


def test_a_relay_serves_what_lies_on_its_disk(tmp_path: Path) -> None:
    for folder, number in (("spool", 2), ("dead-letters", 3)):
        (tmp_path / "relay" / folder).mkdir(parents=True)
        for name in range(number):
            (tmp_path / "relay" / folder / f"{name}.json").touch()
    with closing(socket.create_server((ports.HOST, 0))) as free:
        port = free.getsockname()[1]
    settings = Settings(home=tmp_path, metrics_port=port, metrics_token="t")
    try:
        start_relay_metrics(settings)
        answer = requests.get(f"http://{ports.HOST}:{port}/metrics", headers={"Authorization": "Bearer t"}, timeout=10)
        assert requests.get(f"http://{ports.HOST}:{port}/metrics", timeout=10).status_code == 401
        with pytest.raises(InvalidConfiguration, match=rf"127\.0\.0\.1:{port}.*BULKHEAD_METRICS_PORT"):
            start_relay_metrics(settings)
    finally:
        switch_on(None)
    assert "bulkhead_relay_waiting_events 2.0" in answer.text
    assert "bulkhead_relay_dead_letters 3.0" in answer.text
    assert "bulkhead_disk_free_bytes" in answer.text
