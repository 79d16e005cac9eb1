"""Add, remove, enable and test recipients of notifications."""

from __future__ import annotations

import structlog

from pipeline.contracts.messages import Delivery
from pipeline.errors import Conflict, InvalidRequest, Unreachable
from pipeline.ledger.models import ImportRecord
from pipeline.notify import targets
from pipeline.notify.recipients import Recipient
from web.app_context import app_context
from web.http import audit_log
from web.http.auth import key_in_use
from web.http.problems import Problem
from web.models.admin import ReceiverBody
from web.services import key_scope

log = structlog.get_logger(__name__)

IMPORTS_LISTED = 50
"""A recipient's log has the deliveries of this many imports; an import's log has all of its deliveries."""


def find_recipient(wanted: str, *also: str) -> Recipient:
    """Return the recipient of that id, among the configured ones and the addresses ``also``. Raises Problem for any other."""
    for recipient in app_context().recipients.all(also):
        if recipient.id == wanted:
            return recipient
    raise Problem("unknown_webhook", f"There is no recipient {wanted!r}. GET /v1/webhooks lists all recipients.")


def add(wanted: ReceiverBody) -> Recipient:
    """Add a recipient. Raises Problem for an address that the SSRF policy does not allow, and UnknownDataset."""
    for name in wanted.datasets or ():
        key_scope.dataset(name)
    settings = app_context().settings
    try:
        targets.check(wanted.target, domains=settings.notify_domains, allow_private=settings.webhook_allow_private)
        if targets.channel_of(wanted.target) == targets.WEBHOOK:
            targets.check_target(wanted.target, allow_private=settings.webhook_allow_private)
        made = app_context().recipients.add(wanted.target, wanted.datasets)
    except (InvalidRequest, Conflict, Unreachable) as error:
        raise Problem("invalid_receiver", str(error)) from error
    audit_log.about("recipient", made.id)
    log.info("recipient added", recipient=made.id, datasets=wanted.datasets, key_id=key_in_use().id)
    return made


def remove(recipient: Recipient) -> None:
    """Remove a recipient. Raises Problem if it was not added by an admin."""
    audit_log.about("recipient", recipient.id)
    try:
        app_context().recipients.remove(recipient)
    except Conflict as error:
        raise Problem("named_elsewhere", str(error)) from error
    log.info("recipient removed", recipient=recipient.id, key_id=key_in_use().id)


def enable(recipient: Recipient) -> None:
    """Enable a recipient again, from the next notification on."""
    audit_log.about("recipient", recipient.id)
    app_context().recipients.switch_on(recipient)
    log.info("recipient enabled", recipient=recipient.id, key_id=key_in_use().id)


def send_test(recipient: Recipient) -> str:
    """Send a test message now, once. Return the error, or an empty text if it was delivered."""
    return app_context().temporal.send(Delivery("", recipient.channel, receiver=recipient.id))


def resend_message(wanted: str, one: ImportRecord) -> tuple[Recipient, str]:
    """Send the message about an import once more, with the same id. Return its recipient and the error, if any."""
    recipient = find_recipient(wanted, *one.options.notify)
    if recipient.key not in {(row["channel"], row["target"]) for row in app_context().ledger.deliveries.of_import(one.id)}:
        raise Problem("unknown_delivery", "This import has no message for this recipient.")
    return recipient, app_context().temporal.send(Delivery(one.id, recipient.channel, receiver=recipient.id))
