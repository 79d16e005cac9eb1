"""Ids in paths may hold any character, a slash too, if it is sent as %2F.

WSGI hands over the path decoded, where that slash cannot be told from one that separates. So the raw path is decoded
again, piece by piece, with a NUL standing for an encoded slash: no id holds a NUL, for PostgreSQL has none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import quote, unquote_to_bytes

from werkzeug.routing import BaseConverter, PathConverter

ENCODED_SLASH = "\0"

Wsgi = Callable[[dict[str, Any], Any], Iterable[bytes]]


class EncodedSlashes:
    """WSGI middleware: keeps the slashes that belong to a name apart from those between names."""

    def __init__(self, app: Wsgi) -> None:
        self._app = app

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        raw = environ.get("RAW_URI") or environ.get("REQUEST_URI") or ""
        path = raw.partition("?")[0]
        if path.startswith("/") and "%2f" in path.lower():
            pieces = [unquote_to_bytes(piece).replace(b"/", ENCODED_SLASH.encode()) for piece in path.split("/")]
            environ["PATH_INFO"] = b"/".join(pieces).decode("latin-1")
        return self._app(environ, start_response)


class NameConverter(BaseConverter):
    """One name in a path, whatever it holds: ``<name:record_id>``."""

    regex = "[^/]+"
    part_isolating = True

    def to_python(self, value: str) -> str:
        return value.replace(ENCODED_SLASH, "/")

    def to_url(self, value: Any) -> str:
        return quote(str(value), safe="")


class RestConverter(PathConverter):
    """All the rest of a path: ``<rest:page>``. How its slashes were sent does not matter."""

    def to_python(self, value: str) -> str:
        return value.replace(ENCODED_SLASH, "/")
