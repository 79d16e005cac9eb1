"""Whether this process lives, whether it can do its work, and what it offers."""

from __future__ import annotations

from flask import Blueprint, Response

from pipeline.errors import WorldIsWrong
from pipeline.warehouse import is_up
from web import apidoc
from web.access import for_anyone
from web.answers import as_json
from web.edges import edges
from web.problems import RETRY_SECONDS

pages = Blueprint("health", __name__)


@pages.get("/healthz")
@for_anyone
def healthz() -> Response:
    """The process answers."""
    return as_json({"status": "ok"})


@pages.get("/readyz")
@for_anyone
def readyz() -> Response:
    """503 while a part without which no file can be taken in is away. Temporal may be: files wait for it in S3."""
    parts = {"postgresql": is_up(edges().engine), "s3": _s3_is_up()}
    ready = all(parts.values())
    status = {name: "ok" if up else "away" for name, up in parts.items()}
    if not ready:
        return as_json({"status": "away", "parts": status}, 503, **{"Retry-After": str(RETRY_SECONDS)})
    return as_json({"status": "ok", "parts": status})


def _s3_is_up() -> bool:
    try:
        edges().store.head("readyz")
    except WorldIsWrong:
        return False
    return True


@pages.get("/openapi.json")
@for_anyone
def openapi() -> Response:
    """The description of the API (OpenAPI 3.1)."""
    return as_json(apidoc.document())
