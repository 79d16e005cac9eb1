"""Make responses: JSON of any value in the warehouse, with ETag and Link headers, and files as downloads."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable, Iterator
from decimal import Decimal
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

import orjson
from flask import Response, request, url_for

from pipeline.exact_json import ExactNumber

STALL_SECONDS = 60.0
"""A client that sends or receives nothing for this long is treated as disconnected."""

PIECE_BYTES = 64 << 10

CONTENT_TYPES = {
    "csv": "text/csv; charset=utf-8",
    "json": "application/json",
    "parquet": "application/vnd.apache.parquet",
    "arrow": "application/vnd.apache.arrow.stream",
    "tsv": "text/tab-separated-values; charset=utf-8",
    "ndjson": "application/x-ndjson",
    "sql": "text/plain; charset=utf-8",
    "suite": "application/json",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}


def as_json(value: Any, status: int = 200, **headers: str) -> Response:
    """Return a JSON response. A decimal number that a double would change is written as text.

    An answer to a GET of the API has an ETag, and a page of several a Link to the next one (keyset pagination).
    """
    response = Response(json_bytes(value), status, headers, content_type="application/json")
    if status != HTTPStatus.OK or request.method != "GET" or not request.path.startswith("/v1/"):
        return response
    if isinstance(value, dict) and (cursor := value.get("next_cursor")):
        following = urlencode({**request.args.to_dict(flat=True), "cursor": cursor})
        here = url_for(str(request.endpoint), _external=True, **(request.view_args or {}))  # escaped, as a header has to be
        response.headers["Link"] = f'<{here}?{following}>; rel="next"'
    return with_etag(response)


def json_bytes(value: Any, *, indented: bool = False) -> bytes:
    """Return any value of the warehouse as JSON."""
    option = orjson.OPT_PASSTHROUGH_SUBCLASS | (orjson.OPT_INDENT_2 if indented else 0)
    return orjson.dumps(_plain(value), default=_json_value, option=option)


def with_etag(response: Response) -> Response:
    """Return the response with an ETag, or 304 if the client has it already."""
    response.set_etag(hashlib.sha256(response.get_data()).hexdigest()[:32])
    response.headers["Cache-Control"] = "private, no-cache"
    response.make_conditional(request)
    return response


def as_download(chunks: Iterable[bytes], filename: str, content_type: str, size_bytes: int | None = None) -> Response:
    """Return a file as a download, which the browser never displays: its content came from a user.

    The connection is closed if the client receives nothing for STALL_SECONDS.
    """
    if socket := request.environ.get("gunicorn.socket"):
        socket.settimeout(STALL_SECONDS)
    response = Response(_small(chunks), content_type=content_type)
    name = re.sub(r"[^A-Za-z0-9._-]", "_", filename)
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    if size_bytes is not None:
        response.content_length = size_bytes
    return response


def _small(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the same bytes in pieces small enough for a slow connection to receive one within STALL_SECONDS."""
    for chunk in chunks:
        for at in range(0, len(chunk), PIECE_BYTES):
            yield chunk[at : at + PIECE_BYTES]


def _plain(value: Any) -> Any:
    """Return what orjson can write exactly: numbers from JSON as they are spelled; big integers, NaN and infinity as text."""
    if isinstance(value, ExactNumber):
        return orjson.Fragment(value.text)
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, int) and not isinstance(value, bool) and not -(2**63) <= value < 2**64:
        return str(value)
    return value


def as_text(value: Any) -> str:
    """Return a value as text: objects and lists as JSON, bytes as PostgreSQL writes them, the rest by ``str``."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list):
        return orjson.dumps(_plain(value), default=_json_value).decode()
    if isinstance(value, bytes | memoryview):
        return "\\x" + bytes(value).hex()
    return str(value)


def _json_value(value: Any) -> Any:
    return _number(value) if isinstance(value, Decimal) else as_text(value)


def _number(value: Decimal) -> int | float | str:
    if not value.is_finite():
        return str(value)
    if value == value.to_integral_value() and abs(value) < 2**63:
        return int(value)
    return float(value) if Decimal(repr(float(value))) == value else str(value)
