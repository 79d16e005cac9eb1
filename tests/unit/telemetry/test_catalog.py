"""The list of metrics agrees with the documents, the dashboard, the rules and Prometheus's own advice."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from pipeline.settings import ROOT
from pipeline.telemetry.catalog import ALL, REMOVED_KINDS, TRANSITIONS
from pipeline.telemetry.known_codes import KNOWN_CODES
from pipeline.telemetry.metric import DATASET, Kind, Metric
from tests.support.prometheus import (
    MONITORING,
    PROGRAMS,
    alert_rules,
    dashboard_expressions,
    metric_names,
    promtool,
)

PAGE = (ROOT / "docs" / "monitoring.md").read_text(encoding="utf-8")
BY_NAME = {metric.name: metric for metric in ALL}
MATCHER = re.compile(r"(\w+)\{([^}]*)\}")
EXPRESSIONS = [one for many in dashboard_expressions().values() for one in many]
EXPRESSIONS += [rule["expr"] for rule in alert_rules().values()]


@pytest.fixture
def tools(in_ci: bool) -> None:
    """Prometheus is a package of Debian's."""
    if not all(map(shutil.which, PROGRAMS)):
        (pytest.fail if in_ci else pytest.skip)("promtool is not there; Debian's package prometheus has it.")


@pytest.mark.parametrize("metric", ALL, ids=lambda metric: metric.name)
def test_a_name_says_what_prometheus_expects(metric: Metric) -> None:
    assert re.fullmatch(r"bulkhead(_[a-z0-9]+)+", metric.name)
    assert metric.name.endswith("_total") == (metric.kind is Kind.COUNTER)
    assert bool(metric.buckets) == (metric.kind is Kind.HISTOGRAM)
    assert metric.help.endswith(".") or metric.help[-1].isalnum()
    assert "milliseconds" not in metric.name


def row_of(metric: Metric) -> str:
    """Return the metric's row of the table in docs/monitoring.md."""
    programs = "all" if len(metric.programs) == 3 else ", ".join(metric.programs)
    labels = ", ".join(f"`{name}`" for name in metric.labels) or "–"
    return f"| `{metric.name}` | {metric.kind} | {labels} | {programs} | {metric.help} |"


def test_the_documentation_lists_every_metric_and_no_other() -> None:
    listed = re.findall(r"^\| `bulkhead_.*\|$", PAGE, re.MULTILINE)
    assert listed == [row_of(metric) for metric in ALL]


def test_every_alert_has_a_runbook() -> None:
    headings = {line.removeprefix("### ") for line in PAGE.splitlines() if line.startswith("### ")}
    rules = alert_rules()
    assert headings >= set(rules)
    for name, rule in rules.items():
        assert rule["annotations"]["runbook_url"] == f"docs/monitoring.md#{name.lower()}"
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert {"summary", "description"} <= set(rule["annotations"])


def test_the_known_codes_are_those_of_the_documentation() -> None:
    table = re.findall(
        r"^\| `([a-z_]+)` \| \w+ \| \S.*\. \| \S.*\. \|$", (ROOT / "docs/validation.md").read_text(), re.MULTILINE
    )
    assert set(table) == KNOWN_CODES


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_an_expression_asks_for_metrics_labels_and_values_that_there_are(expression: str) -> None:
    own = {name for name in metric_names(expression) if name.startswith("bulkhead_")}
    assert own <= set(BY_NAME)
    for name, matchers in MATCHER.findall(expression):
        metric = BY_NAME.get(re.sub(r"_(bucket|count|sum)$", "", name))
        for label, values in re.findall(r'(\w+)!?=~?"([^"]*)"', matchers) if metric else ():
            assert metric is not None
            assert label in metric.labels, (name, label)
            known = metric.labels[label]
            assert known is None or label == DATASET or set(values.split("|")) <= set(known), (name, values)


def test_labels_of_expressions_are_really_looked_at() -> None:
    found = [
        matchers for expression in EXPRESSIONS for name, matchers in MATCHER.findall(expression) if name == TRANSITIONS.name
    ]
    assert len(found) >= 5


def test_no_metric_has_a_label_for_single_records_or_files() -> None:
    used = {label for metric in ALL for label in metric.labels}
    assert used == {
        *("dataset", "state", "phase", "outcome", "code", "step", "error", "reason", "channel", "result", "kind"),
        *("route", "method", "status", "pool", "dependency", "certificate", "version"),
    }


def test_what_retention_removes_is_all_counted() -> None:
    from pipeline.contracts.messages import Cleaned

    assert set(vars(Cleaned())) - {"objects", "unknown", "failed", "errors"} == set(REMOVED_KINDS)


# --- Prometheus's own tools ---


def test_rules_and_configuration_are_valid(tools: None) -> None:
    for command in (("check", "rules", "alerts.yaml"), ("check", "config", "prometheus.yaml")):
        done = promtool(*command)
        assert done.returncode == 0, done.stderr + done.stdout


def test_the_configuration_of_compose_is_valid_too(tools: None, tmp_path: Path) -> None:
    """With the files where that has them: the rules beside it, the token as a secret."""
    (tmp_path / "token").write_text("x")
    (tmp_path / "alerts.yaml").write_bytes((MONITORING / "alerts.yaml").read_bytes())
    text = (ROOT / "deploy" / "compose" / "prometheus.yaml").read_text(encoding="utf-8")
    assert text.count("/run/secrets/metrics_token") == 3
    (tmp_path / "prometheus.yaml").write_text(text.replace("/run/secrets/metrics_token", str(tmp_path / "token")))
    done = promtool("check", "config", str(tmp_path / "prometheus.yaml"))
    assert done.returncode == 0, done.stderr + done.stdout


def test_each_alert_fires_and_each_is_quiet(tools: None) -> None:
    text = (MONITORING / "alerts.test.yaml").read_text(encoding="utf-8")
    for name in alert_rules():
        assert text.count(f"      # {name}\n") == 2
        assert text.count(f'- expr: count(ALERTS{{alertname="{name}",alertstate="firing"}})\n') == 1
        assert text.count(f'- expr: ALERTS{{alertname="{name}"}}\n') == 1
    done = promtool("test", "rules", "alerts.test.yaml")
    assert done.returncode == 0, done.stderr + done.stdout


def test_the_dashboard_is_one_that_grafana_loads() -> None:
    dashboard = json.loads((MONITORING / "dashboard.json").read_text(encoding="utf-8"))
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    places = [panel["gridPos"] for panel in panels]
    cells = [(x, y) for p in places for x in range(p["x"], p["x"] + p["w"]) for y in range(p["y"], p["y"] + p["h"])]
    assert len(cells) == len(set(cells)), "two panels overlap"
    assert max(x for x, _ in cells) == 23
    assert {one["name"] for one in dashboard["templating"]["list"]} == {"datasource", "dataset"}
