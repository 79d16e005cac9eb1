"""Send the outcome of an import as a signed webhook, within the SSRF policy of targets.py.

Webhooks follow Standard Webhooks (https://www.standardwebhooks.com): a small payload, an id that is the same in all attempts,
and an HMAC over id, time and body.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from standardwebhooks.webhooks import Webhook
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from pipeline.contracts.traceparent import TRACEPARENT
from pipeline.errors import InvalidRequest, RecipientGone, Unreachable
from pipeline.notify.targets import check_target, is_public
from pipeline.telemetry import tracing

TIMEOUT_SECONDS = (5.0, 20.0)
"""The time-outs to connect and to answer: by Standard Webhooks, receivers answer within 15 to 30 seconds."""

DEADLINE_SECONDS = 30.0
"""The limit for a whole attempt: the time-outs above start again with each byte that a slow receiver sends."""

WAIT_SECONDS_MAX = 86_400.0
"""The longest Retry-After that is respected; a message is retried for three days."""


def payload(shown: Mapping[str, Any], *, page: str) -> dict[str, Any]:
    """Return the body of a webhook: the import, its outcome, counts and links; no content of records."""
    return {
        "type": f"import.{shown['state']}",
        "timestamp": shown["finished_at"],
        "data": {
            "id": shown["id"],
            "dataset": shown["dataset"],
            "state": shown["state"],
            "reason": shown["reason"],
            "counts": shown["counts"],
            "preview": shown.get("preview"),
            "findings": shown["findings"],
            "links": {**shown["links"], "page": page},
        },
    }


def sample_payload(*, page: str) -> dict[str, Any]:
    """Return the body of a test message."""
    return {"type": "bulkhead.test", "timestamp": datetime.now(tz=UTC).isoformat(), "data": {"links": {"page": page}}}


def send_webhook(url: str, body: Mapping[str, Any], *, message_id: str, secret: str, allow_private: bool = False) -> None:
    """POST a signed webhook.

    Raises InvalidRequest if the SSRF policy forbids the URL, RecipientGone if the receiver answers 410, Unreachable if it does
    not answer or answers anything but 2xx, which may be retried (redirects are not followed).
    """
    check_target(url, allow_private=allow_private)
    text, now = json.dumps(body, separators=(",", ":")), datetime.now(tz=UTC)
    headers = {
        "content-type": "application/json",
        "user-agent": "Bulkhead",
        "webhook-id": message_id,
        "webhook-timestamp": str(int(now.timestamp())),
    }
    if secret:
        headers["webhook-signature"] = Webhook(secret).sign(message_id, now, text)
    if trace := tracing.traceparent():
        headers[TRACEPARENT] = trace
    try:
        with (
            _deadline(allow_private=allow_private),
            _session() as session,
            session.post(
                url, data=text, headers=headers, timeout=TIMEOUT_SECONDS, allow_redirects=False, stream=True
            ) as answer,
        ):
            status, wait = answer.status_code, _wait_seconds(answer.headers.get("Retry-After", ""))
    except requests.RequestException as error:
        raise Unreachable(f"The webhook's receiver did not answer: {_reason(error)}.") from error
    if status == requests.codes.gone:
        raise RecipientGone()
    if not 200 <= status < 300:
        refusal = Unreachable(f"The webhook's receiver answered {status}.")
        refusal.wait_seconds = wait
        raise refusal


def _wait_seconds(text: str) -> float | None:
    """Return the seconds of a Retry-After header, given in seconds or as a date, at most a day; None if there is none."""
    try:
        when = float(text) if text.isdigit() else (parsedate_to_datetime(text) - datetime.now(tz=UTC)).total_seconds()
    except (ValueError, TypeError):
        return None
    return min(max(when, 0.0), WAIT_SECONDS_MAX) or None


def _reason(error: BaseException) -> str:
    """Return the class of the innermost error. Its message would contain the URL, which may be a secret."""
    while (inner := getattr(error, "reason", None) or error.__cause__ or error.__context__) is not None:
        if not isinstance(inner, BaseException):
            break
        error = inner
    return type(error).__name__


_here = threading.local()
"""The policy and the connections of the message that this thread is sending."""


@contextmanager
def _deadline(*, allow_private: bool) -> Iterator[None]:
    """Close all connections made in the block when the deadline is over."""
    opened: list[socket.socket] = []
    _here.opened, _here.allow_private, _here.until = opened, allow_private, time.monotonic() + DEADLINE_SECONDS

    def cut() -> None:
        for one in opened:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(DEADLINE_SECONDS, cut)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        for one in opened:
            one.close()


class _Watched:
    """A connection that can be cut at the deadline, and that checks its peer against the SSRF policy before any byte is sent.

    The host name may have another IP address now than when it was checked (DNS rebinding).
    """

    def _new_conn(self) -> socket.socket:
        made: socket.socket = super()._new_conn()  # type: ignore[misc]
        if not _here.allow_private and not is_public(made.getpeername()[0]):
            made.close()
            raise InvalidRequest("The webhook's host now has a private address. Nothing was sent.")
        _here.opened.append(made.dup())  # a TLS connection takes over the original socket
        if time.monotonic() > _here.until:  # the deadline has passed already
            made.close()
            raise TimeoutError
        return made


class _Http(_Watched, HTTPConnection):
    pass


class _Https(_Watched, HTTPSConnection):
    pass


class _HttpPool(HTTPConnectionPool):
    ConnectionCls = _Http


class _HttpsPool(HTTPSConnectionPool):
    ConnectionCls = _Https


class _Straight(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}


def _session() -> requests.Session:
    """Return a session without proxy and ~/.netrc: through a proxy the check of the IP address would prove nothing."""
    session = requests.Session()
    session.trust_env = False
    for scheme in ("http://", "https://"):
        session.mount(scheme, _Straight())
    return session
