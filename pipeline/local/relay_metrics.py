"""The metrics of the event relay, which loads this module only if they are switched on."""

from __future__ import annotations

from pipeline.monitoring.sources import of, read_folders
from pipeline.monitoring.start import serve_metrics, start_metrics
from pipeline.settings import Settings
from pipeline.telemetry.catalog import RELAY_DEAD, RELAY_WAITING
from pipeline.telemetry.metric import Program

FOLDER_SECONDS = 5.0
"""For how long the numbers of events on disk are shown again."""


def start_relay_metrics(settings: Settings) -> None:
    """Serve the relay's metrics on the port of the settings."""
    folders = {RELAY_WAITING: (settings.relay_dir / "spool", "*.json"), RELAY_DEAD: (settings.dead_letters_dir, "*")}
    serve_metrics(start_metrics(Program.RELAY, settings, of(read_folders, folders, seconds=FOLDER_SECONDS)), settings)
