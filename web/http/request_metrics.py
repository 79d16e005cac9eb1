"""Serve the web app's metrics, and count its requests: by route template, never by path.

This module is loaded only if metrics are switched on. They are at ``/metrics`` of the metrics port, on which gunicorn listens
too (web/gunicorn.py), and with a token also at ``/metrics`` of the app itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from flask import Flask, Response, g, request
from werkzeug.wsgi import ClosingIterator

from pipeline.adapters.postgres_access import to_replica
from pipeline.monitoring import sources
from pipeline.monitoring.sources import Source, of
from pipeline.monitoring.start import start_metrics
from pipeline.process_environment import shared_metrics
from pipeline.settings import Settings
from pipeline.telemetry import endpoint, metrics
from pipeline.telemetry.catalog import RECEIVED_BYTES, REQUEST_SECONDS, REQUESTS, SENT_BYTES
from pipeline.telemetry.labels import method_label
from pipeline.telemetry.metric import Program
from web.app_context import AppContext
from web.http.auth import for_anyone
from web.http.problems import Problem

SERVERS_SECONDS = 15.0
REPLICA_SECONDS = 5.0
NO_ROUTE = "none"
"""The route of requests for what does not exist."""


def install(app: Flask, settings: Settings, context: AppContext) -> None:
    """Record this app's metrics from now on, and serve them as the settings say."""
    render = start_metrics(Program.WEB, settings, *_sources(settings, context), shared=shared_metrics())
    app.after_request(_count)
    if settings.metrics_port is not None:
        served = endpoint.metrics_app(render, settings.metrics_token)
        app.wsgi_app = OnMetricsPort(app.wsgi_app, served, settings.metrics_port)  # type: ignore[assignment]
    if settings.metrics_token:
        app.add_url_rule(endpoint.PATH, "metrics", for_anyone(_view(render, settings.metrics_token)))


def _sources(settings: Settings, context: AppContext) -> list[Source]:
    store = context.store.liveness
    found = [of(sources.read_servers, context.database, store, context.temporal, seconds=SERVERS_SECONDS)]
    if settings.database_read_url:
        found.append(of(sources.read_replica, sources.metrics_engine(to_replica(settings)), seconds=REPLICA_SECONDS))
    return found


def _view(render: Callable[[], bytes], token: str) -> Callable[[], Response]:
    def metrics_view() -> Response:
        """Answer with the metrics if the request has the token."""
        if not endpoint.is_allowed(request.headers.get("Authorization", ""), token):
            said = "Send the token of BULKHEAD_METRICS_TOKEN: Authorization: Bearer ..."
            raise Problem("unauthorized", said, headers={"WWW-Authenticate": 'Bearer realm="metrics"'})
        return Response(render(), content_type=endpoint.TEXT)

    return metrics_view


class OnMetricsPort:
    """WSGI middleware: what arrives on the metrics port is answered with the metrics, all else by the app.

    The port is the socket's own, which no header can pretend.
    """

    def __init__(self, app: Any, served: Any, port: int) -> None:
        self._app = app
        self._served = served
        self._port = port

    def __call__(self, environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        """Answer one request."""
        connection = environ.get("gunicorn.socket")
        is_ours = connection is not None and connection.getsockname()[1] == self._port
        answer: Iterable[bytes] = (self._served if is_ours else self._app)(environ, start)
        return answer


def _count(response: Response) -> Response:
    """Count a request, the size of its body, and the size of the answer's as it is sent."""
    route = request.url_rule.rule if request.url_rule is not None else NO_ROUTE
    method = method_label(request.method)
    metrics.count(REQUESTS, route=route, method=method, status=str(response.status_code))
    metrics.observe(REQUEST_SECONDS, time.monotonic() - g.get("began", time.monotonic()), route=route, method=method)
    metrics.count(RECEIVED_BYTES, request.content_length or 0, route=route)
    if request.method != "HEAD":
        _count_sent(response, route)
    return response


def _count_sent(response: Response, route: str) -> None:
    length = response.headers.get("Content-Length", type=int)
    if length is None and not response.is_streamed:
        length = response.calculate_content_length()
    if length is not None:
        metrics.count(SENT_BYTES, length, route=route)
        return
    sent = response.response
    close = getattr(sent, "close", None)  # also if not a byte is asked for
    response.response = ClosingIterator(_counted(sent, route), [close] if close else [])


def _counted(chunks: Iterable[Any], route: str) -> Iterator[Any]:
    for chunk in chunks:
        metrics.count(SENT_BYTES, len(chunk if isinstance(chunk, bytes) else chunk.encode()), route=route)
        yield chunk
