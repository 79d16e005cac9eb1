"""Ask a server of this machine whether it is well."""

from __future__ import annotations

import ssl
from http.client import HTTPConnection, HTTPSConnection
from urllib.parse import urlsplit


def answered(url: str, *, seconds: float) -> int:
    """Return the status of the answer to a GET. Raises OSError or HTTPException if there is none.

    A certificate is not verified: it is for the name by which others reach the server, which is not this machine's address.
    """
    at = urlsplit(url)
    connection = _connection(at.scheme, at.hostname or "", at.port, seconds)
    try:
        connection.request("GET", at.path or "/")
        return connection.getresponse().status
    finally:
        connection.close()


def _connection(scheme: str, host: str, port: int | None, seconds: float) -> HTTPConnection:
    if scheme != "https":
        return HTTPConnection(host, port, timeout=seconds)
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return HTTPSConnection(host, port, timeout=seconds, context=context)
