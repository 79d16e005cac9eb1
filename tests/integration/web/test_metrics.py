"""The web app's metrics behind gunicorn: two processes are one, the token is needed, and off means off."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable

import psutil
import pytest
import requests

from pipeline.settings import Settings
from tests.support.prometheus import free_port
from tests.support.waiting import wait_until
from tests.support.web_app import Server

TOKEN = {"Authorization": "Bearer of the metrics"}


@pytest.fixture
def measured(settings: Settings) -> Settings:
    """Settings with metrics on a port and at the app's own address."""
    return settings.model_copy(update={"metrics_port": free_port(), "metrics_token": "of the metrics"})


def count_of(url: str, route: str) -> int:
    """Return how many requests for a route were answered, over all statuses."""
    text = requests.get(f"{url}/metrics", headers=TOKEN, timeout=10).text
    pattern = rf'^bulkhead_http_requests_total{{[^}}]*route="{re.escape(route)}"[^}}]*}} (\S+)$'
    return int(sum(float(value) for value in re.findall(pattern, text, re.MULTILINE)))


def ask(server: Server, path: str, times: int) -> None:
    """Send requests on connections of their own, which gunicorn's processes share."""
    for _ in range(times):
        requests.get(f"{server.url}{path}", timeout=10)


def test_two_processes_count_together_and_a_process_that_dies_takes_no_count_along(
    measured: Settings, serve: Callable[[Settings], Server]
) -> None:
    server = serve(measured)
    url = f"http://127.0.0.1:{measured.metrics_port}"
    before = count_of(url, "/healthz")
    ask(server, "/healthz", 40)
    assert {count_of(one, "/healthz") for _ in range(6) for one in (url, server.url)} == {before + 40}
    workers = psutil.Process(server.pid).children()
    assert len(workers) == 2
    os.kill(workers[0].pid, signal.SIGKILL)
    wait_until(lambda: len([one for one in psutil.Process(server.pid).children() if one.pid != workers[0].pid]) == 2, 300.0)
    ask(server, "/healthz", 10)
    assert count_of(url, "/healthz") == before + 50
    files = list((measured.home / "metrics").rglob("gauge_*.db"))
    assert files and not [file for file in files if f"_{workers[0].pid}." in file.name]


def test_routes_are_templates_and_what_does_not_exist_is_one_route(
    measured: Settings, serve: Callable[[Settings], Server]
) -> None:
    server = serve(measured)
    for number in range(5):
        requests.get(f"{server.url}/v1/imports/{number}", headers=server.headers, timeout=10)
        requests.request(f"X{number}", f"{server.url}/nowhere/{number}", timeout=10)
    text = requests.get(f"{server.url}/metrics", headers=TOKEN, timeout=10).text
    routes = set(re.findall(r'route="([^"]*)"', text))
    assert len([one for one in routes if "imports" in one]) == 1
    assert not [one for one in routes if "nowhere" in one]
    assert set(re.findall(r'method="([^"]*)"', text)) <= {"GET", "other"}


def test_without_the_token_there_is_nothing_to_see(measured: Settings, serve: Callable[[Settings], Server]) -> None:
    server = serve(measured)
    own = f"http://127.0.0.1:{measured.metrics_port}"
    wrong = ({}, {"Authorization": "Bearer of the metric"}, {"Authorization": "of the metrics"}, server.headers)
    for headers in wrong:
        for url in (own, server.url):
            answer = requests.get(f"{url}/metrics", headers=headers, timeout=10)
            assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, 'Bearer realm="metrics"')
            assert "bulkhead_" not in answer.text
    assert requests.get(f"{server.url}/metrics", headers=wrong[1], timeout=10).json()["status"] == 401
    for path in ("/", "/healthz", "/v1/imports", "/metrics/"):
        assert requests.get(f"{own}{path}", headers={**TOKEN}, timeout=10).status_code == 404
    assert requests.post(f"{own}/metrics", headers=TOKEN, timeout=10).status_code == 405
    assert requests.get(f"{own}/metrics", headers=TOKEN, timeout=10).headers["Content-Type"].startswith("text/plain")


def test_off_is_off(settings: Settings, serve: Callable[[Settings], Server]) -> None:
    server = serve(settings)
    assert requests.get(f"{server.url}/metrics", headers=server.headers, timeout=10).status_code == 404
    assert not (settings.home / "metrics").exists()
