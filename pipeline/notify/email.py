"""Write and send an e-mail about the outcome of an import."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from pipeline.contracts.states import State
from pipeline.display import STATE_TEXTS, place_and_record
from pipeline.errors import InvalidRequest, Unreachable


def compose_email(
    shown: Mapping[str, Any],
    *,
    page: str,
    sender: str,
    to: str,
    message_id: str,
    groups: Sequence[Mapping[str, Any]] = (),
) -> EmailMessage:
    """Return an e-mail in plain text: outcome, counts, most frequent findings (``groups``, as in groups.json) and links."""
    name = _one_line(shown["source"]["filename"]) or shown["id"]
    words, _ = STATE_TEXTS[State(shown["state"])]
    message = EmailMessage()
    message["Subject"] = f"{name} {words} ({shown['dataset']})"
    message["From"] = sender
    message["To"] = to
    message["Date"] = format_datetime(datetime.now(tz=UTC))
    message["Message-ID"] = f"<{message_id}@bulkhead>" if message_id else make_msgid()
    message.set_content("\n".join(_mail_lines(shown, name, words, page, groups)))
    return message


def sample_email(*, page: str, sender: str, to: str, message_id: str) -> EmailMessage:
    """Return a test message."""
    message = EmailMessage()
    message["Subject"] = "Test message from Bulkhead"
    message["From"] = sender
    message["To"] = to
    message["Date"] = format_datetime(datetime.now(tz=UTC))
    message["Message-ID"] = f"<{message_id}@bulkhead>"
    message.set_content(f"This is a test: messages from Bulkhead at {page} reach you.\n")
    return message


def _mail_lines(shown: Mapping[str, Any], name: str, words: str, page: str, groups: Sequence[Mapping[str, Any]]) -> list[str]:
    counts = {k: v for k, v in shown["counts"].items() if v and k not in ("valid", "invalid")}
    top = sorted(shown["findings"]["by_code"].items(), key=lambda item: -item[1])[:5]
    lines = [f"The import of {name} into {shown['dataset']} {words}.", ""]
    if shown["reason"]:
        lines += [f"Reason: {shown['reason']}", ""]
    lines += [f"  {kind:<12} {number:>12,}" for kind, number in counts.items()]
    if shown.get("dry_run") and shown.get("preview"):
        lines += ["", "Nothing was written. An import would have:"]
        lines += [f"  {kind:<12} {number:>12,}" for kind, number in shown["preview"].items()]
    if top:
        lines += ["", "Most frequent findings:"] + [f"  {code:<24} {number:>10,}" for code, number in top]
    if groups:
        lines += ["", "Largest groups:"] + [_group_line(one) for one in groups[:5]]
    lines += ["", f"The import:   {page}"]
    if top:
        lines += [f"All findings: {shown['links']['errors']}?format=csv"]
    return lines


def _group_line(group: Mapping[str, Any]) -> str:
    """Return a line with the number of equal findings, their message, and the place of the first."""
    first: Mapping[str, Any] = next(iter(group.get("first") or ()), {})
    place = place_and_record(first.get("place") or "", first.get("row")) if first.get("place") else ""
    at = f" First at {place}." if place and group["count"] > 1 else f" {place}." if place else ""
    return f"  {group['count']:>10,} × {_one_line(group['message'])}{at}"


def _one_line(text: str) -> str:
    """Return a text as one line, as headers require, whatever the file name contains."""
    return "".join(c if c.isprintable() else " " for c in text).strip()[:120]


def send_email(message: EmailMessage, *, smtp_url: str, outbox: Path) -> None:
    """Send a message over ``smtp_url`` (``smtp://user:password@host:port`` or ``smtps://``), or write it into ``outbox``.

    Raises Unreachable if the server does not accept it now, InvalidRequest if it refuses the recipient.
    """
    if not smtp_url:
        outbox.mkdir(parents=True, exist_ok=True)
        name = str(message["Message-ID"]).strip("<>").partition("@")[0]
        part = outbox / f".{name}.part"
        part.write_bytes(message.as_bytes())
        part.replace(outbox / f"{name}.eml")  # a program that reads the outbox finds whole mails only
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
        raise InvalidRequest(f"The mail server refuses {message['To']}: {error}") from error
    except (OSError, smtplib.SMTPException) as error:
        raise Unreachable(f"The mail server does not accept the message: {error}") from error
