"""Convert paths: ids in them may have any character, even a slash if it is sent as %2F.

WSGI passes the path decoded, where an encoded slash looks like a separator. So the raw path is decoded again, piece by piece,
with a NUL for each encoded slash: no id has a NUL, since PostgreSQL cannot store one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import quote, unquote_to_bytes

from werkzeug.routing import BaseConverter, PathConverter

ENCODED_SLASH = "\0"

Wsgi = Callable[[dict[str, Any], Any], Iterable[bytes]]


class EncodedSlashes:
    """WSGI middleware that replaces encoded slashes in the path, which belong to a name, with NUL."""

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
    """Match one name in a path, of any characters: ``<name:record_id>``."""

    regex = "[^/]+"
    part_isolating = True

    def to_python(self, value: str) -> str:
        return value.replace(ENCODED_SLASH, "/")

    def to_url(self, value: Any) -> str:
        return quote(str(value), safe="")


class RestConverter(PathConverter):
    """Match the rest of a path, with plain and encoded slashes: ``<rest:page>``."""

    def to_python(self, value: str) -> str:
        return value.replace(ENCODED_SLASH, "/")
