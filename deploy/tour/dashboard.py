"""Prometheus on the running system, and what each panel of the dashboard shows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.tour.telling import Telling, waited
from tests.support.prometheus import Prometheus, configured_prometheus, dashboard_expressions

EMPTY_IF_WELL = {
    "Repeated steps": "no step had to be repeated",
    "Failed steps": "no step failed",
    "Lag of the replica": "there is no replica here",
}
"""Panels without data on a system that is well, and why."""

CONFIGURATION = """\
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: [alerts.yaml]
scrape_configs:
  - job_name: bulkhead
    authorization: {{credentials_file: {token}}}
    tls_config: {{ca_file: {authority}}}
    file_sd_configs: [{{files: [{targets}], refresh_interval: 1s}}]
    relabel_configs:
      - {{source_labels: [process], regex: (.+), target_label: job, replacement: bulkhead-$1}}
"""
SECONDS = 90.0


@contextmanager
def scraping(folder: Path, *, targets: Path, token: Path, authority: Path) -> Iterator[Prometheus]:
    """Run Prometheus during the block, on the addresses that `bulkhead up` has written, with deploy/monitoring's rules."""
    configuration = CONFIGURATION.format(targets=targets, token=token, authority=authority)
    with configured_prometheus(folder, configuration) as server:
        waited(server.is_ready, SECONDS, f"Prometheus answers; see {folder / 'prometheus.log'}")
        yield server


def show(server: Prometheus, tell: Telling) -> None:
    """Print a table of the panels. Raises NotAsItShouldBe if one is empty that should not be, or an alert fires."""
    wanted = {"bulkhead-web", "bulkhead-worker", "bulkhead-relay"}
    waited(lambda: server.targets() == dict.fromkeys(wanted, "up"), SECONDS, f"Prometheus scrapes {sorted(wanted)}")
    tell.check(True, "Prometheus scrapes web app (with TLS), worker and relay, each with the token")
    panels = dashboard_expressions()
    required = panels.keys() - EMPTY_IF_WELL.keys()
    waited(lambda: not _empty(server, panels, required), SECONDS, "each panel has data")
    empty = _empty(server, panels, panels.keys())
    for title in panels:
        print(f"      {title:<42} {'empty: ' + EMPTY_IF_WELL[title] if title in empty else 'has data'}")
    tell.check(empty <= EMPTY_IF_WELL.keys(), f"{len(panels) - len(empty)} of {len(panels)} panels have data", sorted(empty))
    firing = {one["labels"]["alertname"] for one in server.get("alerts")["alerts"] if one["state"] == "firing"}
    tell.check(not firing, "no alert fires", sorted(firing))


def _empty(server: Prometheus, panels: dict[str, list[str]], titles: set[str] | object) -> set[str]:
    """Return which of these panels have no data now."""
    return {title for title in titles if not any(server.query(one) for one in panels[title])}  # type: ignore[attr-defined]
