"""Serve ``GET /metrics``, as a WSGI app and on a port of its own, with a bearer token where one is set."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from hmac import compare_digest
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

PATH = "/metrics"
TEXT = "text/plain; version=0.0.4; charset=utf-8"
REQUEST_SECONDS = 10

Environ = dict[str, Any]
Start = Callable[..., Any]
Render = Callable[[], bytes]


def is_allowed(authorization: str, token: str) -> bool:
    """Return whether a request's Authorization header has the token, compared in constant time; any has if none is set."""
    scheme, _, given = authorization.partition(" ")
    is_same = compare_digest(given.strip().encode("utf-8", "replace"), token.encode())
    return not token or (scheme.lower() == "bearer" and is_same)


def metrics_app(render: Render, token: str) -> Callable[[Environ, Start], Iterable[bytes]]:
    """Return a WSGI app that answers ``GET /metrics`` with what ``render`` returns, and nothing else."""

    def app(environ: Environ, start: Start) -> Iterable[bytes]:
        if environ.get("PATH_INFO") != PATH:
            return _answer(start, "404 Not Found", b"The metrics are at /metrics.\n")
        if environ.get("REQUEST_METHOD") not in ("GET", "HEAD"):
            return _answer(start, "405 Method Not Allowed", b"Send GET.\n", ("Allow", "GET, HEAD"))
        if not is_allowed(environ.get("HTTP_AUTHORIZATION", ""), token):
            text = b"Send the token of BULKHEAD_METRICS_TOKEN: Authorization: Bearer ...\n"
            return _answer(start, "401 Unauthorized", text, ("WWW-Authenticate", 'Bearer realm="metrics"'))
        return _answer(start, "200 OK", render(), kind=TEXT)

    return app


def _answer(start: Start, status: str, body: bytes, *headers: tuple[str, str], kind: str = "text/plain") -> Iterable[bytes]:
    start(status, [("Content-Type", kind), ("Content-Length", str(len(body))), ("Cache-Control", "no-store"), *headers])
    return [body]


def serve(render: Render, token: str, *, bind: str, port: int) -> int:
    """Serve the metrics from threads until the process ends; return the port. Raises OSError if it cannot listen there."""
    from prometheus_client.exposition import ThreadingWSGIServer

    server = make_server(bind, port, metrics_app(render, token), _server_for(bind, ThreadingWSGIServer), _Silent)
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    return int(server.server_port)


def _server_for(bind: str, kind: Any) -> Any:
    """Return the server's class for this kind of address."""
    import socket

    family = socket.AF_INET6 if ":" in bind else socket.AF_INET
    return type("MetricsServer", (kind,), {"address_family": family})


class _Silent(WSGIRequestHandler):
    """Log no line for each scrape, and wait for no client for ever."""

    timeout = REQUEST_SECONDS

    def log_message(self, format: str, *args: object) -> None:
        return
