"""The Helm chart, rendered by Helm's own engine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy" / "kubernetes"
POD_KINDS = ("Deployment", "Job", "StatefulSet", "DaemonSet", "CronJob")

Values = dict[str, Any]
Object = dict[str, Any]

MINIMAL: Values = {"url": "https://bulkhead.example.org", "temporal": {"address": "temporal:7233"}}
EVERYTHING: Values = {
    **MINIMAL,
    "temporal": {
        "address": "temporal:7233",
        "tls": {
            "enabled": True,
            "serverName": "temporal",
            "caSecret": {"name": "ca"},
            "clientSecret": {"name": "client"},
        },
    },
    "s3": {"endpoint": "https://s3.internal", "publicEndpoint": "https://files.example.org"},
    "certificates": {"configMapName": "authorities"},
    "datasets": {"existingClaim": "datasets"},
    "settings": {"BULKHEAD_KEEP_SOURCES": "90d"},
    "secrets": {
        **{name: {} for name in ("DATABASE_READ_URL", "BULKHEAD_SQL_URL", "BULKHEAD_SMTP_URL", "BULKHEAD_WEBHOOK_URLS")},
        **{name: {} for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "TEMPORAL_API_KEY", "BULKHEAD_RELAY_TOKEN")},
        "BULKHEAD_METRICS_TOKEN": {"name": "monitoring", "key": "token"},
        "BULKHEAD_WEBHOOK_SECRET": {},
        "BULKHEAD_MIGRATION_DATABASE_URL": {"name": "owner"},
        "BULKHEAD_PAYLOAD_KEYS": {},
    },
    "imagePullSecrets": [{"name": "registry"}],
    "image": {"digest": "sha256:" + "0" * 64},
    "autoscaling": {"kind": "keda", "prometheusAddress": "http://prometheus:9090"},
    "workers": {"upkeep": {"autoscaling": {"prometheusQuery": "sum(waiting)"}}},
    "web": {"autoscaling": {"enabled": True}, "nodeSelector": {"pool": "web"}, "podAnnotations": {"a": "b"}},
    "relay": {"enabled": True},
    "ingress": {"enabled": True, "className": "nginx", "host": "bulkhead.example.org", "tlsSecret": "tls"},
    "metrics": {
        "enabled": True,
        "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
        "podMonitor": {"enabled": True, "interval": "15s"},
        "annotations": True,
    },
    "traces": {"endpoint": "http://collector:4318"},
    "serviceAccount": {"annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/x"}},
    "priorityClassName": "high",
    "networkPolicy": {"extraEgress": [{"ports": [{"port": 8443, "protocol": "TCP"}]}]},
}
EXAMPLES: dict[str, Values] = {
    "defaults": MINIMAL,
    "everything": EVERYTHING,
    **{file.stem: yaml.safe_load(file.read_text(encoding="utf-8")) for file in sorted((CHART / "examples").glob("*.yaml"))},
}


def helm() -> Any:
    """Return Helm's library; skip the test where there is none: its wheel is for Linux on x86-64 only."""
    return pytest.importorskip("helm_python", reason="Helm's engine (helm-python-sdk) has a wheel for Linux on x86-64 only")


def rendered(values: Mapping[str, Any], *, name: str = "bulkhead") -> list[Object]:
    """Return the objects that `helm template` makes of the chart with these values."""
    with helm().Chart.load(CHART) as chart:
        files = chart.render(dict(values), name=name, namespace="production")
    made = [one for path, text in files.items() if path.endswith(".yaml") for one in yaml.safe_load_all(text) if one]
    assert made
    return made


def merged(values: Mapping[str, Any], changes: Mapping[str, Any]) -> Values:
    """Return values with changes merged into them, as Helm merges values files."""
    both = deepcopy(dict(values))
    for name, change in changes.items():
        is_deeper = isinstance(change, Mapping) and isinstance(both.get(name), Mapping)
        both[name] = merged(both[name], change) if is_deeper else change
    return both


def pods(objects: list[Object]) -> Iterator[tuple[str, Object]]:
    """Yield the name and the pod template of each object that runs pods."""
    for one in objects:
        if one["kind"] in POD_KINDS:
            yield one["metadata"]["name"], one["spec"]["template"]


def containers(pod: Object) -> list[Object]:
    """Return all containers of a pod template."""
    return [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]


def of_kind(objects: list[Object], kind: str) -> dict[str, Object]:
    """Return the objects of a kind by name."""
    return {one["metadata"]["name"]: one for one in objects if one["kind"] == kind}
