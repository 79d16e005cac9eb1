"""Tell recipients that a break-glass key, the one for emergencies, is in use."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime

import structlog

from pipeline.errors import BulkheadError
from pipeline.notify import email, webhook
from pipeline.notify.recipients import NamedBy, Recipient, Recipients
from pipeline.notify.targets import WEBHOOK
from pipeline.settings import Settings

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Use:
    """The use of a break-glass key: its name, the client's address, and when."""

    key_name: str
    address: str
    at: datetime


def tell_of(use: Use, recipients: Recipients, settings: Settings) -> int:
    """Tell the recipients that are for all datasets, by settings or by an admin; return how many were told.

    One that cannot be told is logged, and does not keep the others from being told.
    """
    told = 0
    for one in recipients.all():
        if one.named_by is NamedBy.UPLOAD or one.datasets is not None or one.off_at is not None:
            continue
        try:
            _send(one, use, settings)
            told += 1
        except (BulkheadError, OSError) as error:
            log.warning("break-glass use not told", recipient=one.id, error=type(error).__name__)
    return told


def _send(recipient: Recipient, use: Use, settings: Settings) -> None:
    message_id, page = f"msg_{uuid.uuid4().hex}", f"{settings.url}/admin/audit-log"
    if recipient.channel == WEBHOOK:
        body = {
            "type": "bulkhead.break_glass",
            "timestamp": use.at.isoformat(),
            "data": {"key": use.key_name, "address": use.address, "links": {"page": page}},
        }
        allow_private = settings.webhook_allow_private
        webhook.send_webhook(
            recipient.target, body, message_id=message_id, secret=recipient.secret, allow_private=allow_private
        )
        return
    email.send_email(
        _mail(use, recipient.target, settings.email_from, page, message_id),
        smtp_url=settings.smtp_url,
        outbox=settings.outbox_dir,
    )


def _mail(use: Use, to: str, sender: str, page: str, message_id: str) -> EmailMessage:
    message = EmailMessage()
    message["Subject"] = "A break-glass key of Bulkhead is in use"
    message["From"], message["To"] = sender, to
    message["Date"] = format_datetime(use.at)
    message["Message-ID"] = f"<{message_id}@bulkhead>"
    name = " ".join(use.key_name.split())
    message.set_content(
        f"The break-glass key {name} is used from {use.address or 'an unknown address'} since {use.at:%Y-%m-%d %H:%M} UTC.\n\n"
        f"If that is no emergency you know of, revoke the key.\nEach use of it: {page}?action=break_glass\n"
    )
    return message
