"""Switch the metrics of a process on, as the settings say."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from pipeline.adapters.postgres_access import to_database
from pipeline.errors import InvalidConfiguration
from pipeline.ledger.monitoring import Monitoring
from pipeline.monitoring import sources
from pipeline.monitoring.certificates import read_expiries
from pipeline.monitoring.sources import Source, of
from pipeline.process_environment import share_metrics
from pipeline.settings import Settings
from pipeline.telemetry import endpoint, metrics
from pipeline.telemetry.labels import DatasetLabels
from pipeline.telemetry.metric import Program
from pipeline.warehouse.dataset_source import source_of

LEDGER_SECONDS = 5.0
CERTIFICATE_SECONDS = 900.0
PROCESS_SECONDS = 1.0


def start_metrics(program: Program, settings: Settings, *more: Source, shared: Path | None = None) -> Callable[[], bytes]:
    """Record the metrics of this process from now on; return the function that gives them as text.

    ``more``: sources besides those that each program has. ``shared``: the folder that gunicorn's processes share.
    """
    share_metrics(shared)  # before prometheus_client is imported
    from pipeline.telemetry.read_at_scrape import ReadAtScrape
    from pipeline.telemetry.recorder import Recorder

    labels = DatasetLabels(settings.metrics_datasets, source_of(settings).names)
    own = _sources(program, settings, labels)
    collectors = tuple(ReadAtScrape(read, seconds=seconds) for read, seconds in (*own, *more))
    recorder = Recorder(program, labels, shared=shared, read=collectors)
    metrics.switch_on(recorder)
    return recorder.text


def _sources(program: Program, settings: Settings, labels: DatasetLabels) -> Sequence[Source]:
    process = of(sources.read_process, settings.home, seconds=PROCESS_SECONDS)
    if program is Program.RELAY:
        return [process]
    ledger = Monitoring(sources.metrics_engine(to_database(settings)))
    found = [process, of(sources.read_ledger, ledger, labels, source_of(settings).root, seconds=LEDGER_SECONDS)]
    if settings.metrics_certificates:
        found.append(of(read_expiries, settings.metrics_certificates, seconds=CERTIFICATE_SECONDS))
    return found


def empty_shared_folder(settings: Settings, name: str) -> Path:
    """Return the empty folder in which the processes of one server share their metrics; what an earlier start left is removed.

    Raises InvalidConfiguration if there can be none.
    """
    folder = settings.home / "metrics" / name
    shutil.rmtree(folder, ignore_errors=True)
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise InvalidConfiguration(
            f"The processes of the web app cannot share their metrics in {folder}: {error.strerror}. Set BULKHEAD_HOME to a"
            " folder that they may write to."
        ) from error
    return folder


def serve_metrics(render: Callable[[], bytes], settings: Settings) -> None:
    """Serve the metrics of this process on the port of the settings. Raises InvalidConfiguration if that is not possible."""
    port = settings.metrics_port or 0
    try:
        endpoint.serve(render, settings.metrics_token, bind=settings.metrics_bind, port=port)
    except OSError as error:
        raise InvalidConfiguration(
            f"The metrics cannot be served at {settings.metrics_bind}:{port}: {error.strerror or error}. Set"
            " BULKHEAD_METRICS_PORT to a free port, another one for each process of this machine."
        ) from error
