"""The metrics of a worker: Bulkhead's own and those of Temporal's SDK, together on one port."""

from __future__ import annotations

import http.client
import socket
from contextlib import closing

import structlog
from temporalio.runtime import PrometheusConfig, Runtime, TelemetryConfig

from pipeline.monitoring.start import serve_metrics, start_metrics
from pipeline.settings import Settings
from pipeline.telemetry.metric import Program

HOST = "127.0.0.1"
TRIES = 5
ANSWER_SECONDS = 3.0

log = structlog.get_logger()


def start_worker_metrics(settings: Settings) -> None:
    """Serve the metrics of this worker if the settings say so; call it before the first Temporal client is made.

    The SDK serves its metrics on a port of its own, of this machine only; the worker's ``/metrics`` has them too.
    """
    if settings.metrics_port is None:
        return
    render = start_metrics(Program.WORKER, settings)
    runtime, port = _runtime()
    Runtime.set_default(runtime)  # of all clients of this process
    serve_metrics(lambda: render() + _of_sdk(port), settings)


def _runtime() -> tuple[Runtime, int]:
    """Return a runtime that serves its metrics, and the port. A port that was free may be taken before it is used."""
    for left in reversed(range(TRIES)):
        with closing(socket.create_server((HOST, 0))) as free:
            port = int(free.getsockname()[1])
        config = PrometheusConfig(f"{HOST}:{port}", counters_total_suffix=True, unit_suffix=True, durations_as_seconds=True)
        try:
            return Runtime(telemetry=TelemetryConfig(metrics=config)), port
        except ValueError:
            if not left:
                raise
    raise AssertionError("not reached")


def _of_sdk(port: int) -> bytes:
    """Return the SDK's metrics as text; nothing if it does not answer."""
    try:
        with closing(http.client.HTTPConnection(HOST, port, timeout=ANSWER_SECONDS)) as connection:
            connection.request("GET", "/metrics")
            answer = connection.getresponse()
            return answer.read() if answer.status == http.client.OK else b""
    except (OSError, http.client.HTTPException) as error:
        log.warning("the SDK's metrics are missing", error=str(error))
        return b""
