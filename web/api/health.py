"""Liveness (/healthz), readiness (/readyz) and the OpenAPI document."""

from __future__ import annotations

import time

from flask import Blueprint, Response

from web.api import openapi as apidoc
from web.app_context import app_context
from web.http.auth import for_anyone
from web.http.problems import RETRY_SECONDS
from web.http.responses import as_json

READY_SECONDS = 2.5
"""A server that has not answered by then counts as away."""

pages = Blueprint("health", __name__)


@pages.get("/healthz")
@for_anyone
def healthz() -> Response:
    """Answer that the process is running."""
    return as_json({"status": "ok"})


@pages.get("/readyz")
@for_anyone
def readyz() -> Response:
    """Answer 503 while PostgreSQL or S3 is away, without which no file can be uploaded. Without Temporal, files wait in S3."""
    asked = {"postgresql": app_context().database, "s3": app_context().store.liveness}
    until = time.monotonic() + READY_SECONDS
    for part in asked.values():
        part.suspect()  # check both at once
    parts = {name: part.is_well(max(until - time.monotonic(), 0)) for name, part in asked.items()}
    ready = all(parts.values())
    status = {name: "ok" if up else "away" for name, up in parts.items()}
    if not ready:
        return as_json({"status": "away", "parts": status}, 503, **{"Retry-After": str(RETRY_SECONDS)})
    return as_json({"status": "ok", "parts": status})


@pages.get("/openapi.json")
@for_anyone
def openapi() -> Response:
    """Return the OpenAPI 3.1 document."""
    return as_json(apidoc.document())
