"""A real Prometheus that scrapes a test's processes, and what its rules and dashboards ask for."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import requests

from pipeline.settings import ROOT

MONITORING = ROOT / "deploy" / "monitoring"
PROGRAMS = ("prometheus", "promtool")

NAME = re.compile(r"\b(?:bulkhead|temporal|process)_[a-z0-9_]+\b|\bup\b")
"""How the names of our metrics, of Temporal's SDK's and of Prometheus's own begin."""

_SUFFIX = re.compile(r"_(bucket|count|sum)$")


def free_port() -> int:
    """Return a port that is free now."""
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        return int(free.getsockname()[1])


class Prometheus:
    """A running Prometheus."""

    def __init__(self, url: str) -> None:
        self._url = url

    def is_ready(self) -> bool:
        """Return whether it answers queries."""
        try:
            return requests.get(f"{self._url}/-/ready", timeout=5).ok
        except requests.RequestException:
            return False

    def get(self, path: str, **parameters: str) -> Any:
        """Return the data of an answer of the HTTP API; fail with Prometheus's own message if it is an error."""
        answer = requests.get(f"{self._url}/api/v1/{path}", params=parameters, timeout=300).json()
        assert answer["status"] == "success", f"{path} {parameters}: {answer.get('error')}"
        return answer["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the vector that an expression gives now."""
        data = self.get("query", query=expression)
        found: list[dict[str, Any]] = data["result"]
        return found

    def value(self, expression: str) -> float | None:
        """Return the only value of an expression; None if it has none."""
        found = self.query(expression)
        assert len(found) <= 1, found
        return float(found[0]["value"][1]) if found else None

    def targets(self) -> dict[str, str]:
        """Return the health of each job's target, with the error if there is one."""
        return {one["labels"]["job"]: one["lastError"] or one["health"] for one in self.get("targets")["activeTargets"]}

    def names(self) -> set[str]:
        """Return the names of all metrics that were scraped, also of those that have no series yet."""
        return {*self.get("label/__name__/values"), *self.get("metadata")}


@contextmanager
def prometheus(folder: Path, ports: Mapping[str, int]) -> Iterator[Prometheus]:
    """Run Prometheus with the example's configuration on these ports of our processes, a scrape a second, and our rules."""
    config = (MONITORING / "prometheus.yaml").read_text(encoding="utf-8").replace("interval: 15s", "interval: 1s")
    for name, example in (("web", 9464), ("worker", 9465), ("relay", 9466)):
        changed = config.replace(f'"127.0.0.1:{example}"', f'"127.0.0.1:{ports[name]}"')
        assert changed != config, f"the example does not scrape the {name}"
        config = changed
    with configured_prometheus(folder, config) as server:
        yield server


@contextmanager
def configured_prometheus(folder: Path, config: str) -> Iterator[Prometheus]:
    """Run Prometheus with this configuration and our rules."""
    (folder / "prometheus.yaml").write_text(config, encoding="utf-8")
    shutil.copy(MONITORING / "alerts.yaml", folder)
    port = free_port()
    command = ["prometheus", f"--config.file={folder / 'prometheus.yaml'}", f"--storage.tsdb.path={folder / 'tsdb'}"]
    with (folder / "prometheus.log").open("ab") as log:
        process = subprocess.Popen([*command, f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log)
    try:
        yield Prometheus(f"http://127.0.0.1:{port}")
    finally:
        process.terminate()
        process.wait(30)


def promtool(*arguments: str, folder: Path = MONITORING) -> subprocess.CompletedProcess[str]:
    """Run promtool in a folder."""
    return subprocess.run(["promtool", *arguments], cwd=folder, capture_output=True, text=True, check=False)


def dashboard_expressions() -> dict[str, list[str]]:
    """Return the expressions of each panel by its title, for all datasets and a short interval."""
    dashboard = json.loads((MONITORING / "dashboard.json").read_text(encoding="utf-8"))
    panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    found = {panel["title"]: [_concrete(target["expr"]) for target in panel["targets"]] for panel in panels}
    assert len(found) == len(panels), "two panels have one title"
    return found


def _concrete(expression: str) -> str:
    text = expression.replace("$__rate_interval", "30s").replace("$dataset", ".*")
    assert "$" not in text, f"a variable that the test does not know: {expression}"
    return text


def alert_rules() -> dict[str, dict[str, Any]]:
    """Return the alert rules by their names."""
    from ruamel.yaml import YAML

    (group,) = YAML(typ="safe").load(MONITORING / "alerts.yaml")["groups"]
    return {rule["alert"]: rule for rule in group["rules"]}


def metric_names(expression: str) -> set[str]:
    """Return the names of the metrics in an expression, a histogram's without its suffix."""
    return {_SUFFIX.sub("", name) for name in NAME.findall(re.sub(r'"[^"]*"', '""', expression))}
