"""How answers look on the wire: JSON of any value the warehouse holds, files as downloads."""

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

_FORMULA = re.compile(r"(?s)[\s\xa0]*[=+\-@＝＋－＠].*|[\t\r\n].*")
_NUMBER = re.compile(r"[+-]?[0-9]+([.,][0-9]+)?")

STALL_SECONDS = 60.0
"""A client that sends, or takes, nothing for so long is taken for gone."""

PIECE_BYTES = 64 << 10

CONTENT_TYPES = {
    "csv": "text/csv; charset=utf-8",
    "json": "application/json",
    "parquet": "application/vnd.apache.parquet",
    "arrow": "application/vnd.apache.arrow.stream",
    "tsv": "text/tab-separated-values; charset=utf-8",
    "ndjson": "application/x-ndjson",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}


def as_json(value: Any, status: int = 200, **headers: str) -> Response:
    """A JSON answer. Numbers without an end in binary stay text if a double would change them.

    What the API gives to be read has its ETag, and a page the way to the next one.
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
    """JSON of any value the warehouse holds."""
    option = orjson.OPT_PASSTHROUGH_SUBCLASS | (orjson.OPT_INDENT_2 if indented else 0)
    return orjson.dumps(_plain(value), default=_json_value, option=option)


def with_etag(response: Response) -> Response:
    """The answer, or 304 if the client has it already."""
    response.set_etag(hashlib.sha256(response.get_data()).hexdigest()[:32])
    response.headers["Cache-Control"] = "private, no-cache"
    response.make_conditional(request)
    return response


def as_download(chunks: Iterable[bytes], filename: str, content_type: str, size_bytes: int | None = None) -> Response:
    """A file to be saved, never shown: what is in it came from a user. Whoever takes nothing for a minute is taken for gone."""
    if socket := request.environ.get("gunicorn.socket"):
        socket.settimeout(STALL_SECONDS)
    response = Response(_small(chunks), content_type=content_type)
    name = re.sub(r"[^A-Za-z0-9._-]", "_", filename)
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    if size_bytes is not None:
        response.content_length = size_bytes
    return response


def _small(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in pieces that the slowest of lines takes within the time that one may take."""
    for chunk in chunks:
        for at in range(0, len(chunk), PIECE_BYTES):
            yield chunk[at : at + PIECE_BYTES]


def _plain(value: Any) -> Any:
    """What orjson would refuse or bend: numbers of JSON, which are written as they are spelled, big integers, NaN, infinity."""
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
    """A value as text: JSON values as JSON, bytes as PostgreSQL writes them, everything else as it reads."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list):
        return orjson.dumps(_plain(value), default=_json_value).decode()
    if isinstance(value, bytes | memoryview):
        return "\\x" + bytes(value).hex()
    return str(value)


def safe_cell(value: Any) -> Any:
    """A cell that no spreadsheet takes for a formula (OWASP, "CSV Injection"): a quote goes before it. Numbers are none."""
    is_formula = isinstance(value, str) and _FORMULA.fullmatch(value) and not _NUMBER.fullmatch(value)
    return "'" + value if is_formula else value


def _json_value(value: Any) -> Any:
    return _number(value) if isinstance(value, Decimal) else as_text(value)


def _number(value: Decimal) -> int | float | str:
    if not value.is_finite():
        return str(value)
    if value == value.to_integral_value() and abs(value) < 2**63:
        return int(value)
    return float(value) if Decimal(repr(float(value))) == value else str(value)
