"""Send a GET to this same app with the credentials of the present request, for a page that shows what the API answers.

The inner request goes through all that one from outside goes through: key, role, rate limit, audit log.
"""

from __future__ import annotations

import contextvars
import io
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

from flask import current_app, request
from werkzeug.wrappers import Response

_KEPT = ("SERVER_", "REMOTE_", "HTTP_HOST", "HTTP_COOKIE", "HTTP_AUTHORIZATION", "HTTP_X_FORWARDED_", "wsgi.")


@dataclass(frozen=True)
class InnerAnswer:
    """The answer: ``body`` is at most its first bytes, and ``is_whole`` says whether it is all of it."""

    status: int
    headers: dict[str, str]
    body: bytes
    is_whole: bool

    @property
    def mimetype(self) -> str:
        """Return the media type without parameters."""
        return self.headers.get("Content-Type", "").partition(";")[0].strip().lower()


def get(address: str, *, bytes_max: int) -> InnerAnswer:
    """Send a GET; ``address`` is an encoded path with its query. At most ``bytes_max`` bytes of the answer are read."""
    return contextvars.copy_context().run(_get, address, bytes_max)  # neither logs nor contexts of the page are changed


def _get(address: str, bytes_max: int) -> InnerAnswer:
    app = current_app
    with app.app_context():  # a ``g`` of its own
        answer = Response.from_app(app.wsgi_app, _environ(address))
        body = b""
        try:
            for piece in answer.iter_encoded():
                body += piece
                if len(body) > bytes_max:
                    break
        finally:
            answer.close()
    return InnerAnswer(answer.status_code, dict(answer.headers), body[:bytes_max], len(body) <= bytes_max)


def _environ(address: str) -> dict[str, Any]:
    path, _, query = address.partition("?")
    kept = {name: value for name, value in request.environ.items() if name.startswith(_KEPT)}
    return {
        **kept,
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": query,
        "RAW_URI": address,
        "REQUEST_URI": address,
        "HTTP_ACCEPT": "*/*",
        "wsgi.input": io.BytesIO(),
    }
