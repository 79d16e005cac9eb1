"""The check of one process, which containers run."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from pytest_httpserver import HTTPServer

from pipeline.errors import Unreachable
from pipeline.local import health_check
from pipeline.settings import Settings


@pytest.mark.parametrize("role", ["web", "relay"])
def test_a_server_is_healthy_if_it_answers_200(role: str, httpserver: HTTPServer) -> None:
    settings = Settings(port=httpserver.port, relay_port=httpserver.port)
    httpserver.expect_ordered_request("/healthz").respond_with_data("ok")
    httpserver.expect_ordered_request("/healthz").respond_with_data("no", status=503)
    health_check.CHECKS[role](settings)
    with pytest.raises(Unreachable, match="answered 503"):
        health_check.CHECKS[role](settings)


def test_the_port_of_the_web_app_may_be_that_of_its_address(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/healthz").respond_with_data("ok")
    health_check.web(Settings(url=httpserver.url_for("")))


def test_a_server_that_does_not_answer() -> None:
    with pytest.raises(Unreachable, match="the web app does not answer at port 9: "):
        health_check.web(Settings(port=9))


def test_a_worker_is_healthy_while_it_touches_its_file(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    with pytest.raises(Unreachable, match="is starting or stopping"):
        health_check.worker(settings)
    ready = tmp_path / "worker.ready"
    ready.touch()
    health_check.worker(settings)
    before = time.time() - health_check.WORKER_SECONDS - 60
    os.utime(ready, (before, before))
    with pytest.raises(Unreachable, match=r"has not shown that it is alive for 1[0-9][0-9] seconds"):
        health_check.worker(settings)


@pytest.mark.parametrize(
    ("command", "role"),
    [
        ("/usr/local/bin/python /usr/local/bin/bulkhead worker --queues loading", "worker"),
        ("python -m pipeline.orchestration.worker", "worker"),
        ("/sbin/docker-init -- bulkhead web", "web"),
        ("/usr/local/bin/python -m gunicorn -c python:web.gunicorn web:create_app()", "web"),
        ("/usr/local/bin/python /usr/local/bin/gunicorn -c python:web.gunicorn web:create_app()", "web"),
        ("python -m pipeline.local.relay", "relay"),
        ("bulkhead migrate", ""),
    ],
)
def test_what_runs_is_seen_from_the_command_line(command: str, role: str) -> None:
    assert health_check.role_of(command.split()) == role


def test_an_unknown_process(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit, match="usage: "):
        health_check.main(["database"])
