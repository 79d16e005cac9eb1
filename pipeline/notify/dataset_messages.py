"""Write a message about a dataset, of whichever subject, as the body of a webhook or as an e-mail."""

from __future__ import annotations

from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Any

from pipeline.contracts.dataset_messages import DatasetMessage
from pipeline.notify.audit_messages import audit_payload, audit_subject_and_text
from pipeline.notify.silence_messages import silence_payload, silence_subject_and_text


def page_of(message: DatasetMessage, url: str) -> str:
    """Return the page that says more: the audit's, or the dataset's imports. ``url``: the address of the web app."""
    if message.audit is not None:
        return f"{url}/datasets/{message.dataset}/audits/{message.audit.audit_id}"
    return f"{url}/imports?dataset={message.dataset}"


def dataset_payload(message: DatasetMessage, *, url: str) -> dict[str, Any]:
    """Return the body of a webhook."""
    page = page_of(message, url)
    if message.audit is not None:
        return audit_payload(message.dataset, message.audit, page=page)
    return silence_payload(message, page=page)


def dataset_email(message: DatasetMessage, *, url: str, sender: str, to: str, message_id: str) -> EmailMessage:
    """Return an e-mail in plain text."""
    page = page_of(message, url)
    if message.audit is not None:
        subject, text = audit_subject_and_text(message.dataset, message.audit, page=page)
    else:
        subject, text = silence_subject_and_text(message, page=page)
    mail = EmailMessage()
    mail["From"] = sender
    mail["To"] = to
    mail["Date"] = format_datetime(datetime.now(tz=UTC))
    mail["Message-ID"] = f"<{message_id}@bulkhead>"
    mail["Subject"] = subject
    mail.set_content(text)
    return mail
