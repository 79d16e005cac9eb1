"""An outcome -> the people and programs that want to know: a signed webhook, an e-mail.

Webhooks follow Standard Webhooks (https://www.standardwebhooks.com): a thin payload, an id that stays the same however
often it is sent, an HMAC over id, time and body. An e-mail goes to an SMTP server, or, where none is set, into a folder as
an .eml file that every mail program opens.
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

from pipeline.errors import InvalidRequest, RecipientGone, Unreachable
from pipeline.notify.targets import check_target, is_public

TIMEOUT_SECONDS = (5.0, 20.0)
"""To connect, and to answer: Standard Webhooks asks receivers to answer within 15 to 30 seconds."""

DEADLINE_SECONDS = 30.0
"""For all of it: the times above begin anew with each byte of a receiver that drips."""

WAIT_SECONDS_MAX = 86_400.0
"""No receiver puts us off for longer than that: a message is tried for three days."""


def payload(shown: Mapping[str, Any], *, page: str) -> dict[str, Any]:
    """The body of a webhook: what happened to which import, its counts, and links; no record's content."""
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
    """The body of a webhook that is only a test."""
    return {"type": "bulkhead.test", "timestamp": datetime.now(tz=UTC).isoformat(), "data": {"links": {"page": page}}}


def send_webhook(url: str, body: Mapping[str, Any], *, message_id: str, secret: str, allow_private: bool = False) -> None:
    """POST a signed webhook.

    Raises InvalidRequest if the URL may not be called, Gone if the receiver said so (410), Unreachable if it should be tried
    again:
    no answer, or one that is not 2xx (a redirect is not followed, and counts as such).
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
    """What a Retry-After says, in seconds or as a date; a day at most. None if it says nothing."""
    try:
        when = float(text) if text.isdigit() else (parsedate_to_datetime(text) - datetime.now(tz=UTC)).total_seconds()
    except (ValueError, TypeError):
        return None
    return min(max(when, 0.0), WAIT_SECONDS_MAX) or None


def _reason(error: BaseException) -> str:
    """The kind of the innermost error. Its words would hold the address, which may be a secret."""
    while (inner := getattr(error, "reason", None) or error.__cause__ or error.__context__) is not None:
        if not isinstance(inner, BaseException):
            break
        error = inner
    return type(error).__name__


_here = threading.local()
"""What this thread's message may reach, and the connections that were made for it."""


@contextmanager
def _deadline(*, allow_private: bool) -> Iterator[None]:
    """Whatever connection is made within is cut from outside when the time is over."""
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
    """A connection that is given up before a byte is sent if it leads where it must not: a name may have another address
    by now than when it was checked. And one that can be cut."""

    def _new_conn(self) -> socket.socket:
        made: socket.socket = super()._new_conn()  # type: ignore[misc]
        if not _here.allow_private and not is_public(made.getpeername()[0]):
            made.close()
            raise InvalidRequest("The webhook's address has become a private one; nothing was sent.")
        _here.opened.append(made.dup())  # a TLS connection takes the first one over
        if time.monotonic() > _here.until:  # whoever cuts has been here already
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
    """Straight to the receiver: through a proxy, or with what ~/.netrc has, a check of the address would say nothing."""
    session = requests.Session()
    session.trust_env = False
    for scheme in ("http://", "https://"):
        session.mount(scheme, _Straight())
    return session
