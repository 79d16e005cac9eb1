"""Give each process of the application a port for its metrics, and tell Prometheus where they are."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

from pipeline.local.component import Component
from pipeline.local.home import Home
from pipeline.local.ports import HOST

STEP = {"web": 0, "worker": 1, "relay": 2}
"""How far each port is from the first, if it is free."""

TARGETS = "targets.json"


def with_ports(home: Home, components: Sequence[Component], first: int, *, web_scheme: str = "http") -> list[Component]:
    """Return the components with a port for metrics each: ``first`` and the next ones, or others if these are in use.

    ``metrics/targets.json`` in the home lists them for Prometheus's file_sd_configs; the web app's are at its own scheme.
    """
    found, targets = [], []
    for one in components:
        port = home.port(f"metrics {one.name} from {first}", first + STEP[one.name])
        found.append(replace(one, environment={**one.environment, "BULKHEAD_METRICS_PORT": str(port)}))
        labels = {"process": one.name}
        if one.name == "web" and web_scheme != "http":
            labels["__scheme__"] = web_scheme
        targets.append({"targets": [f"{HOST}:{port}"], "labels": labels})
    (home.folder("metrics") / TARGETS).write_text(json.dumps(targets, indent=2), encoding="utf-8")
    return found
