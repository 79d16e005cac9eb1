"""Counting: off it costs nothing, on its labels are bounded, and no error of it reaches what is counted."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from pipeline.contracts.states import State
from pipeline.telemetry import catalog, endpoint, metrics
from pipeline.telemetry.labels import DatasetLabels
from pipeline.telemetry.metric import Program, Reading
from pipeline.telemetry.read_at_scrape import ReadAtScrape
from pipeline.telemetry.recorder import Recorder


@pytest.fixture
def defined() -> list[str]:
    """The datasets that are defined; a test may add some."""
    return ["a", "b", "c"]


@pytest.fixture
def recorder(defined: list[str]) -> Iterator[Recorder]:
    """A worker's metrics, with room for two datasets."""
    recorder = Recorder(Program.WORKER, DatasetLabels(2, lambda: defined))
    metrics.switch_on(recorder)
    yield recorder
    metrics.switch_on(None)


def lines(recorder: Recorder, name: str) -> dict[str, float]:
    """Return the series of a metric that are not zero, by their labels."""
    found = [line.removeprefix(name) for line in recorder.text().decode().splitlines() if line.startswith(name)]
    values = {labels.strip("{}"): float(value) for labels, value in (line.rsplit(" ", 1) for line in found)}
    return {labels: value for labels, value in values.items() if value}


def test_datasets_beyond_the_limit_are_one(recorder: Recorder, defined: list[str]) -> None:
    defined.append("d")
    for name in ("a", "b", "c", "d", "invented", "", "a"):
        metrics.count(catalog.PARTS, dataset=name)
    assert lines(recorder, "bulkhead_parts_loaded_total") == {'dataset="a"': 2, 'dataset="b"': 1, 'dataset="other"': 4}


def test_a_thousand_invented_datasets_make_one_series(recorder: Recorder) -> None:
    before = recorder.text().count(b"\n")
    for number in range(1000):
        metrics.count(catalog.PARTS, dataset=f"invented{number}")
        metrics.count(catalog.TRANSITIONS, dataset=f"invented{number}", state="queued")
    assert recorder.text().count(b"\n") <= before + 2


def test_a_name_that_is_not_defined_takes_no_place() -> None:
    names: list[str] = []
    labels = DatasetLabels(1, lambda: names)
    assert labels.of("later") == "other"
    names.append("later")
    labels._looked_at = None
    assert (labels.of("later"), labels.all()) == ("later", ["later"])


def test_a_value_that_is_not_listed_is_other(recorder: Recorder) -> None:
    metrics.count(catalog.SANDBOX_DEATHS, reason="memory")
    metrics.count(catalog.SANDBOX_DEATHS, reason="what a hostile child says")
    assert lines(recorder, "bulkhead_sandbox_deaths_total") == {'reason="memory"': 1, 'reason="other"': 1}


def test_what_is_known_begins_at_zero(recorder: Recorder) -> None:
    text = recorder.text().decode()
    for dataset in ("a", "b"):
        for state in State:
            assert f'bulkhead_import_transitions_total{{dataset="{dataset}",state="{state}"}} 0.0' in text
    assert 'bulkhead_deliveries_total{channel="email",result="given_up"} 0.0' in text
    assert "_created" not in text


def test_a_metric_of_another_program_is_not_served(recorder: Recorder) -> None:
    metrics.count(catalog.RELAY_EVENTS, result="accepted")
    metrics.observe(catalog.REQUEST_SECONDS, 1.0, route="/", method="GET")
    assert b"relay" not in recorder.text()
    assert b"http" not in recorder.text()


def test_gauges_and_histograms(recorder: Recorder) -> None:
    with metrics.in_flight(catalog.PARTS_IN_FLIGHT):
        assert lines(recorder, "bulkhead_parts_in_flight") == {"": 1}
    assert lines(recorder, "bulkhead_parts_in_flight") == {}
    metrics.observe(catalog.PHASE_SECONDS, 3.0, dataset="a", phase="whole")
    assert lines(recorder, "bulkhead_import_phase_seconds_sum") == {'dataset="a",phase="whole"': 3}
    metrics.set_to(catalog.LEFT_OBJECTS, 7, kind="unknown")
    metrics.set_to(catalog.LEFT_OBJECTS, 2, kind="unknown")
    assert lines(recorder, "bulkhead_reconciliation_left_objects") == {'kind="unknown"': 2}


def test_an_error_in_a_metric_is_only_logged(recorder: Recorder, capsys: pytest.CaptureFixture[str]) -> None:
    metrics.count(catalog.PARTS, wrong="label")
    assert "metric not recorded" in "".join(capsys.readouterr())


def test_off_nothing_is_loaded() -> None:
    program = """
import sys
from pipeline.telemetry import catalog, metrics
import pipeline.local.relay, web
from pipeline.settings import Settings
web.create_app(Settings(database_url="postgresql://localhost/x", secret_key="x"))
metrics.count(catalog.PARTS, dataset="a")
assert not metrics.is_on()
print([name for name in sys.modules if name.startswith("prometheus_client")])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout == "[]\n", done.stderr


# --- read at a scrape ---


def text_of(source: ReadAtScrape) -> str:
    return Recorder(Program.RELAY, DatasetLabels(0, list), read=(source,)).text().decode()


def test_a_source_is_read_once_for_a_while() -> None:
    reads: list[int] = []

    def read() -> list[Reading]:
        reads.append(1)
        return [Reading(catalog.POLLERS, len(reads))]

    kept = ReadAtScrape(read, seconds=3600)
    assert reads == []
    for _ in range(3):
        assert "bulkhead_workers_polling 1.0" in text_of(kept)
    fresh = ReadAtScrape(read, seconds=0)
    assert "bulkhead_workers_polling 2.0" in text_of(fresh)
    assert "bulkhead_workers_polling 3.0" in text_of(fresh)


def test_a_source_that_fails_hides_only_itself(capsys: pytest.CaptureFixture[str]) -> None:
    def read() -> list[Reading]:
        raise OSError("away")

    text = text_of(ReadAtScrape(read, seconds=0))
    assert "bulkhead_relay_events_total" in text
    assert "metrics not read" in "".join(capsys.readouterr())


# --- the token ---


@pytest.mark.parametrize(
    ("authorization", "token", "allowed"),
    [
        ("", "", True),
        ("Bearer anything", "", True),
        ("Bearer right", "right", True),
        ("bearer  right ", "right", True),
        ("Bearer wrong", "right", False),
        ("Bearer rightly", "right", False),
        ("Basic right", "right", False),
        ("right", "right", False),
        ("Bearer", "right", False),
        ("", "right", False),
        ("Bearer räight\udcff", "right", False),
    ],
)
def test_the_token_is_compared(authorization: str, token: str, allowed: bool) -> None:
    assert endpoint.is_allowed(authorization, token) is allowed
