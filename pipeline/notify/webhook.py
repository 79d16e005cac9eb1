"""An outcome -> the people and programs that want to know: a signed webhook, an e-mail.

Webhooks follow Standard Webhooks (https://www.standardwebhooks.com): a thin payload, an id that stays the same however
often it is sent, an HMAC over id, time and body. An e-mail goes to an SMTP server, or, where none is set, into a folder as
an .eml file that every mail program opens.
"""

from __future__ import annotations

import json
import smtplib
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid, parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import requests
from requests.adapters import HTTPAdapter
from standardwebhooks.webhooks import Webhook
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from pipeline.display import place_and_record
from pipeline.errors import Gone, NotUsable, Unreachable
from pipeline.notify.targets import check_target, is_public

TIMEOUT_SECONDS = (5.0, 20.0)
"""To connect, and to answer: Standard Webhooks asks receivers to answer within 15 to 30 seconds."""

DEADLINE_SECONDS = 30.0
"""For all of it: the times above begin anew with each byte of a receiver that drips."""

WAIT_SECONDS_MAX = 86_400.0
"""No receiver puts us off for longer than that: a message is tried for three days."""

_STATE_WORDS = {
    "succeeded": "succeeded",
    "validated": "passed its dry run",
    "partially_succeeded": "succeeded in part",
    "rejected": "was rejected",
    "failed": "failed",
    "canceled": "was canceled",
}


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


def test_payload(*, page: str) -> dict[str, Any]:
    """The body of a webhook that is only a test."""
    return {"type": "bulkhead.test", "timestamp": datetime.now(tz=UTC).isoformat(), "data": {"links": {"page": page}}}


def send_webhook(url: str, body: Mapping[str, Any], *, message_id: str, secret: str, allow_private: bool = False) -> None:
    """POST a signed webhook.

    Raises NotUsable if the URL may not be called, Gone if the receiver said so (410), Unreachable if it should be tried again:
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
        raise Gone()
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
            raise NotUsable("The webhook's address has become a private one; nothing was sent.")
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


def compose_email(
    shown: Mapping[str, Any],
    *,
    page: str,
    sender: str,
    to: str,
    message_id: str,
    groups: Sequence[Mapping[str, Any]] = (),
) -> EmailMessage:
    """What happened, the counts, the most frequent findings (``groups``, as in groups.json) and the links, as plain text."""
    name = _one_line(shown["source"]["filename"]) or shown["id"]
    words = _STATE_WORDS.get(shown["state"], shown["state"])
    message = EmailMessage()
    message["Subject"] = f"{name} {words} ({shown['dataset']})"
    message["From"] = sender
    message["To"] = to
    message["Date"] = format_datetime(datetime.now(tz=UTC))
    message["Message-ID"] = f"<{message_id}@bulkhead>" if message_id else make_msgid()
    message.set_content("\n".join(_mail_lines(shown, name, words, page, groups)))
    return message


def test_email(*, page: str, sender: str, to: str, message_id: str) -> EmailMessage:
    """A mail that is only a test."""
    message = EmailMessage()
    message["Subject"] = "A test from Bulkhead"
    message["From"] = sender
    message["To"] = to
    message["Date"] = format_datetime(datetime.now(tz=UTC))
    message["Message-ID"] = f"<{message_id}@bulkhead>"
    message.set_content(f"Messages from Bulkhead reach you. It is at {page}\n")
    return message


def _mail_lines(shown: Mapping[str, Any], name: str, words: str, page: str, groups: Sequence[Mapping[str, Any]]) -> list[str]:
    counts = {k: v for k, v in shown["counts"].items() if v and k not in ("valid", "invalid")}
    top = sorted(shown["findings"]["by_code"].items(), key=lambda item: -item[1])[:5]
    lines = [f"The import of {name} into {shown['dataset']} {words}.", ""]
    if shown["reason"]:
        lines += [f"Why: {shown['reason']}", ""]
    lines += [f"  {kind:<12} {number:>12,}" for kind, number in counts.items()]
    if shown.get("dry_run") and shown.get("preview"):
        lines += ["", "Nothing was written. A load would have:"]
        lines += [f"  {kind:<12} {number:>12,}" for kind, number in shown["preview"].items()]
    if top:
        lines += ["", "Most frequent findings:"] + [f"  {code:<24} {number:>10,}" for code, number in top]
    if groups:
        lines += ["", "What they say:"] + [_group_line(one) for one in groups[:5]]
    lines += ["", f"The import:   {page}"]
    if top:
        lines += [f"All findings: {shown['links']['errors']}?format=csv"]
    return lines


def _group_line(group: Mapping[str, Any]) -> str:
    """How many, what is wrong, and where the first of them is."""
    first: Mapping[str, Any] = next(iter(group.get("first") or ()), {})
    place = place_and_record(first.get("place") or "", first.get("row")) if first.get("place") else ""
    at = f" First at {place}." if place and group["count"] > 1 else f" {place}." if place else ""
    return f"  {group['count']:>10,} × {_one_line(group['message'])}{at}"


def _one_line(text: str) -> str:
    """A header must be one line, whatever the file was called."""
    return "".join(c if c.isprintable() else " " for c in text).strip()[:120]


def send_email(message: EmailMessage, *, smtp_url: str, outbox: Path) -> None:
    """Hand the message to ``smtp_url`` (``smtp://user:password@host:port`` or ``smtps://``), or write it into ``outbox``.

    Raises Unreachable if the server does not take it now, NotUsable if it refuses the addressee.
    """
    if not smtp_url:
        outbox.mkdir(parents=True, exist_ok=True)
        name = str(message["Message-ID"]).strip("<>").partition("@")[0]
        (outbox / f"{name}.eml").write_bytes(message.as_bytes())
        return
    parts = urlsplit(smtp_url)
    secure = parts.scheme == "smtps"
    kind = smtplib.SMTP_SSL if secure else smtplib.SMTP
    try:
        with kind(parts.hostname or "localhost", parts.port or (465 if secure else 25), timeout=20) as server:
            if parts.username:
                server.ehlo_or_helo_if_needed()
                if not secure and server.has_extn("starttls"):
                    server.starttls(context=ssl.create_default_context())
                server.login(unquote(parts.username), unquote(parts.password or ""))
            server.send_message(message)
    except smtplib.SMTPRecipientsRefused as error:
        raise NotUsable(f"The mail server refuses {message['To']}: {error}") from error
    except (OSError, smtplib.SMTPException) as error:
        raise Unreachable(f"The mail server does not take the message: {error}") from error
