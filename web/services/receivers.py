"""Add, remove, enable and test recipients of notifications."""

from __future__ import annotations

import structlog

from pipeline.contracts.messages import Delivery
from pipeline.errors import Conflict, InvalidRequest, Unreachable
from pipeline.ledger.models import ImportRecord
from pipeline.notify import targets
from pipeline.notify.recipients import Recipient
from web.app_context import app_context
from web.http.auth import key_in_use
from web.http.problems import Problem
from web.models.admin import ReceiverBody
from web.services import key_scope

log = structlog.get_logger(__name__)

IMPORTS_TOLD = 50
"""The log of a receiver is of the deliveries of so many imports; that of an import has them all."""


def receiver_of(wanted: str, *also: str) -> Recipient:
    """The receiver of that id, of those that are told of imports; ``also`` of those addresses.

    Only they are ever called: raises Problem for any other.
    """
    for receiver in app_context().receivers.all(also):
        if receiver.id == wanted:
            return receiver
    raise Problem("unknown_webhook", "GET /v1/webhooks lists those there are.")


def add(wanted: ReceiverBody) -> Recipient:
    """Somebody more who is told. Raises Problem for an address that may not be called, UnknownDataset for one of no dataset."""
    for name in wanted.datasets or ():
        key_scope.dataset(name)
    settings = app_context().settings
    try:
        targets.check(wanted.target, domains=settings.notify_domains, allow_private=settings.webhook_allow_private)
        if targets.channel_of(wanted.target) == targets.WEBHOOK:
            targets.check_target(wanted.target, allow_private=settings.webhook_allow_private)
        made = app_context().receivers.add(wanted.target, wanted.datasets)
    except (InvalidRequest, Conflict, Unreachable) as error:
        raise Problem("invalid_receiver", str(error)) from error
    log.info("receiver added", receiver=made.id, datasets=wanted.datasets, key_id=key_in_use().id)
    return made


def remove(receiver: Recipient) -> None:
    """It is told nothing any more. Raises Problem if no admin added it."""
    try:
        app_context().receivers.remove(receiver)
    except Conflict as error:
        raise Problem("named_elsewhere", str(error)) from error
    log.info("receiver removed", receiver=receiver.id, key_id=key_in_use().id)


def switch_on(receiver: Recipient) -> None:
    """It is told again, from the next import's end on."""
    app_context().receivers.switch_on(receiver)
    log.info("receiver switched on", receiver=receiver.id, key_id=key_in_use().id)


def try_out(receiver: Recipient) -> str:
    """Send a message that is about nothing, now, once; what stood against it, or nothing if it arrived."""
    return app_context().orchestrator.send(Delivery("", receiver.channel, receiver=receiver.id))


def send_again(wanted: str, one: ImportRecord) -> tuple[Recipient, str]:
    """Send the message of an import once more, under the id it always had; to whom, and what stood against it, if anything."""
    receiver = receiver_of(wanted, *one.options.notify)
    if receiver.place not in {(row["channel"], row["target"]) for row in app_context().ledger.deliveries.of_import(one.id)}:
        raise Problem("unknown_delivery", "No message of this import was ever for this receiver.")
    return receiver, app_context().orchestrator.send(Delivery(one.id, receiver.channel, receiver=receiver.id))
