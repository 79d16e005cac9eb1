"""A real Prometheus scrapes web app, worker and relay; every expression of dashboard and rules is run on what it has."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from pipeline.adapters import postgres
from pipeline.ledger.api_keys import ApiKeys, Role
from pipeline.settings import ROOT, Settings
from pipeline.telemetry import catalog
from tests.support.certificates import write_certificate
from tests.support.prometheus import (
    PROGRAMS,
    Prometheus,
    alert_rules,
    dashboard_expressions,
    free_port,
    metric_names,
    prometheus,
)
from tests.support.waiting import pauses, wait_until

pytestmark = pytest.mark.early

GOOD = b"id,parentId,name,kind\nFR,,France,Country\nFR-75,FR,Paris,Department\nDE,,Germany,Country\n"
BAD = b"id,parentId,name,kind\nFR-99,XX,Nowhere,Department\n"

MAY_BE_EMPTY = {"Repeated steps", "Failed steps"}
"""Panels of what does not happen in two imports."""


@pytest.fixture(autouse=True)
def programs(in_ci: bool) -> None:
    """Prometheus is a package of Debian's."""
    if missing := [name for name in PROGRAMS if shutil.which(name) is None]:
        (pytest.fail if in_ci else pytest.skip)(f"{missing} are not there; Debian's package prometheus has them.")


class Application:
    """Web app, worker and relay, each a process that serves metrics."""

    def __init__(self, environment: dict[str, str], folder: Path, key: str) -> None:
        self.ports = {name: free_port() for name in ("web", "worker", "relay")}
        self._web_port, self._relay_port, self._key = free_port(), free_port(), key
        self.url = f"http://127.0.0.1:{self._web_port}"
        self.environment = {
            **environment,
            "BULKHEAD_PORT": str(self._web_port),
            "BULKHEAD_URL": self.url,
            "BULKHEAD_RELAY_PORT": str(self._relay_port),
            "BULKHEAD_RELAY_TOKEN": "of the relay",
        }
        self._folder = folder

    @contextmanager
    def running(self) -> Iterator[None]:
        modules = {
            "web": ["gunicorn", "-c", "python:web.gunicorn", "web:create_app()"],
            "worker": ["pipeline.orchestration.worker"],
            "relay": ["pipeline.local.relay"],
        }
        with ExitStack() as started:
            for name, module in modules.items():
                started.enter_context(self._process(name, module))
            yield

    @contextmanager
    def _process(self, name: str, module: list[str]) -> Iterator[None]:
        environment = {**self.environment, "BULKHEAD_METRICS_PORT": str(self.ports[name])}
        log = self._folder / f"{name}.log"
        with log.open("ab") as out:
            command = [sys.executable, "-m", *module]
            process = subprocess.Popen(command, env=environment, cwd=ROOT, stdout=out, stderr=out)
        try:
            yield
        finally:
            if name == "web":
                process.terminate()
            else:
                process.kill()  # a worker that is asked to stop waits for the schedules, which the shared server does not have
            process.wait(60)
            print(f"--- {name}\n{log.read_text(errors='replace')[-4000:]}", file=sys.stderr)

    def upload(self, content: bytes, bucket: str) -> str:
        """Upload a file, and send the relay what SeaweedFS would send; return the import's id."""
        headers = {"Authorization": f"Bearer {self._key}"}
        answer = requests.post(
            f"{self.url}/v1/datasets/places/imports?filename=a.csv", data=content, headers=headers, timeout=300
        )
        assert answer.status_code == 202, answer.text
        one: dict[str, Any] = answer.json()
        entry = {"attributes": {"file_size": len(content), "mtime": 1}}
        event = {"key": f"/buckets/{bucket}/{one['source']['key']}", "message": {"new_entry": entry}}
        relay = f"http://127.0.0.1:{self._relay_port}/filer"
        posted = requests.post(relay, json=event, headers={"Authorization": "Bearer of the relay"}, timeout=300)
        assert posted.status_code == 200
        return str(one["id"])

    def state(self, import_id: str) -> str:
        headers = {"Authorization": f"Bearer {self._key}"}
        return str(requests.get(f"{self.url}/v1/imports/{import_id}", headers=headers, timeout=300).json()["state"])

    def answers(self) -> bool:
        try:
            return all(requests.get(self._metrics(name), timeout=5).ok for name in self.ports)
        except requests.RequestException:
            return False

    def _metrics(self, name: str) -> str:
        return f"http://127.0.0.1:{self.ports[name]}/metrics"

    def text(self, name: str) -> str:
        return requests.get(self._metrics(name), timeout=10).text


@pytest.fixture
def application(settings: Settings, environment: dict[str, str], a_root: Path, tmp_path: Path) -> Iterator[Application]:
    """The application with all that has metrics: a replica, a certificate, and a dataset whose files are expected."""
    suite = a_root / "expectations" / "places.json"
    said = json.loads(suite.read_text())
    said["meta"]["expect_every"] = "1d"
    suite.write_text(json.dumps(said))
    with closing_keys(settings) as keys:
        key, _ = keys.create("a test", Role.UPLOADER)
    more = {
        "BULKHEAD_DATASETS_ROOT": str(a_root),
        "DATABASE_READ_URL": settings.database_url,
        "BULKHEAD_METRICS_CERTIFICATES": str(write_certificate(tmp_path / "web.pem", days=90)),
        "BULKHEAD_EMAIL_TO": "you@example.org",
    }
    application = Application({**environment, **more}, tmp_path, key)
    with application.running():
        wait_until(application.answers, 300.0)
        yield application


@contextmanager
def closing_keys(settings: Settings) -> Iterator[ApiKeys]:
    engine = postgres.connect(settings.database_url, pool_size=1)
    try:
        yield ApiKeys(engine)
    finally:
        engine.dispose()


@pytest.mark.thorough
def test_every_expression_finds_its_metrics_in_what_the_processes_serve(
    application: Application, settings: Settings, tmp_path: Path
) -> None:
    with prometheus(tmp_path, application.ports) as server:
        wait_until(server.is_ready, 300.0)
        wait_until(lambda: set(server.targets().values()) == {"up"}, 300.0)
        good, bad = application.upload(GOOD, settings.bucket), application.upload(BAD, settings.bucket)
        wait_until(lambda: (application.state(good), application.state(bad)) == ("succeeded", "rejected"), 300.0)
        check_counts(server)
        check_expressions(server)
        check_rules(server)
    check_text(application, good)


def check_counts(server: Prometheus) -> None:
    """What happened is what Prometheus shows, exactly, whichever process counted it."""
    expected = {
        'sum(bulkhead_import_transitions_total{dataset="places",state="queued"})': 2,
        'sum(bulkhead_import_transitions_total{dataset="places",state="succeeded"})': 1,
        'sum(bulkhead_import_transitions_total{dataset="places",state="rejected"})': 1,
        'sum(bulkhead_records_total{dataset="places",outcome="inserted"})': 3,
        'sum(bulkhead_records_total{dataset="places",outcome="unprocessed"})': 1,
        'sum(bulkhead_findings_total{dataset="places",code="missing_parent"})': 1,
        'sum(bulkhead_validated_file_bytes_total{dataset="places"})': len(GOOD) + len(BAD),
        "sum(bulkhead_parts_loaded_total)": 1,
        "sum(bulkhead_parts_in_flight)": 0,
        'bulkhead_import_phase_seconds_count{dataset="places",phase="whole"}': 2,
        'bulkhead_import_phase_seconds_count{dataset="places",phase="loading"}': 1,
        'bulkhead_deliveries_total{channel="email",result="delivered"}': 2,
        'bulkhead_relay_events_total{result="accepted"}': 2,
        'bulkhead_relay_deliveries_total{result="delivered"}': 2,
        'sum(bulkhead_http_requests_total{route=~".*/imports",method="POST",status="202"})': 2,
        "sum(max by (dataset) (bulkhead_queue_length_imports))": 0,
        'max(bulkhead_dataset_expected_interval_seconds{dataset="places"})': 86400,
        "max(bulkhead_workers_polling)": 1,
        "min(bulkhead_dependency_up)": 1,
        "max(bulkhead_postgresql_replica_lag_seconds)": 0,
    }
    wait_until(lambda: {one: server.value(one) for one in expected} == expected, 300.0)
    days = "(max(bulkhead_certificate_expiry_timestamp_seconds{certificate='web.pem'}) - time()) / 86400"
    wait_until(lambda: 89 < (server.value(days) or 0) <= 90, 300.0)
    age = "max(bulkhead_dataset_last_arrival_age_seconds{dataset='places'})"
    wait_until(lambda: 0 <= (-1 if (now := server.value(age)) is None else now) < 600, 300.0)


def check_expressions(server: Prometheus) -> None:
    """Each expression runs, each name in it was scraped, and each panel has something to show."""
    panels, rules = dashboard_expressions(), alert_rules()
    everything = [one for expressions in panels.values() for one in expressions] + [rule["expr"] for rule in rules.values()]
    known = server.names()
    named = set().union(*map(metric_names, everything))
    bases = {name.removesuffix("_bucket") for name in known}
    assert sorted(named - known - bases) == []
    for expression in everything:
        server.query(expression)
    empty = set(panels)
    for pause in pauses(60):
        empty = {title for title in empty if not any(server.query(one) for one in panels[title])}
        if empty <= MAY_BE_EMPTY:
            break
        time.sleep(pause)
    assert sorted(empty - MAY_BE_EMPTY) == [], "panels without data"
    own = {metric.name for metric in catalog.ALL}
    assert sorted(own - known - bases) == [], "metrics that no process serves"
    assert {name for name in known | bases if name.startswith("bulkhead_")} >= own


def check_rules(server: Prometheus) -> None:
    """Prometheus evaluates all rules without an error, and none alerts about a system that is well."""
    (group,) = server.get("rules")["groups"]
    wait_until(lambda: all(rule["health"] == "ok" for rule in server.get("rules")["groups"][0]["rules"]), 300.0)
    assert {rule["name"] for rule in group["rules"]} == set(alert_rules())
    firing = [one["labels"]["alertname"] for one in server.get("alerts")["alerts"] if one["state"] == "firing"]
    assert firing == []


def check_text(application: Application, import_id: str) -> None:
    """No value of a record, no filename and no key is among the labels."""
    for name in application.ports:
        text = application.text(name)
        assert not [word for word in ("FR-75", "Paris", "Nowhere", "a.csv", "incoming/", import_id) if word in text], name
