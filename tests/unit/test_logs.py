"""Logs are one line each, on the stderr of the moment."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator

import pytest
import structlog

from pipeline.logs import configure

log = structlog.get_logger(__name__)


@pytest.fixture(autouse=True)
def configured() -> Iterator[None]:
    before = structlog.get_config()
    configure("json")
    yield
    structlog.configure(**before)


def test_a_line_of_the_log_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    log.info("refused", filename="x\nERROR forged")
    assert capsys.readouterr().err.count("\n") == 1


def test_a_line_goes_to_the_stderr_of_the_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stderr that was replaced and closed since the configuration must not make every later line raise an error."""
    closed, now = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stderr", closed)
    configure("json")
    log.info("first")
    closed.close()
    monkeypatch.setattr(sys, "stderr", now)
    log.info("second")
    assert '"event": "second"' in now.getvalue()
