"""Telling the user: who is to know of an import's end, and one message to one of them, however often it has to be tried."""

from __future__ import annotations

import functools
import json
import uuid
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeVar

from temporalio import activity

from pipeline import groups, notify
from pipeline.addresses import WEBHOOK
from pipeline.attempt import beating, told_apart
from pipeline.contracts import ADDRESSEES, DELIVER, TRY_RECEIVER, Delivery, Outcome, Told, report_prefix
from pipeline.errors import BulkheadError, Gone, NotUsable
from pipeline.ledger import Import, Ledger
from pipeline.receivers import Receiver, Receivers
from pipeline.settings import Settings
from pipeline.store import NotThere, Store

P = ParamSpec("P")
R = TypeVar("R")


def _heartbeating(step: Callable[P, R]) -> Callable[P, R]:
    """Have a step heartbeat while it runs, so that one whose worker died is noticed soon."""

    @functools.wraps(step)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        with beating():
            return step(*args, **kwargs)

    return run


class Postman:
    """The steps that tell people, on one worker's edges."""

    def __init__(self, settings: Settings, store: Store, ledger: Ledger, receivers: Receivers) -> None:
        self._settings = settings
        self._store = store
        self._ledger = ledger
        self._receivers = receivers

    @property
    def all(self) -> list[Callable[..., Any]]:
        """What a worker registers."""
        return [self.addressees, self.deliver, self.try_receiver]

    @activity.defn(name=ADDRESSEES.name)
    @told_apart
    @_heartbeating
    def addressees(self, outcome: Outcome) -> Told:
        """Who is to be told; each message gets its lasting id now."""
        known = self._ledger.known(outcome.import_id)
        told = self._receivers.to_tell(known.dataset, known.options.notify)
        deliveries = [Delivery(outcome.import_id, one.channel, one.target) for one in told]
        for one in deliveries:
            name = f"{one.channel}\n{one.target}\n{outcome.state}"
            message_id = f"msg_{uuid.uuid5(uuid.UUID(one.import_id), name).hex}"
            self._ledger.open_delivery(one.import_id, one.channel, one.target, message_id)
        return Told(tuple(deliveries))

    @activity.defn(name=DELIVER.name)
    @told_apart
    @_heartbeating
    def deliver(self, delivery: Delivery) -> None:
        """Send one message; the ledger keeps how often it was tried and how it ended.

        A receiver that says that it is gone is told nothing from then on. Raises NotUsable for one that nobody names any more.
        """
        known = self._ledger.known(delivery.import_id)
        row = next(
            row
            for row in self._ledger.deliveries(delivery.import_id)
            if (row["channel"], row["target"]) == (delivery.channel, delivery.target)
        )
        try:
            receiver = self._receiver(delivery, known.options.notify)
            self._send(receiver, known, row["message_id"])
        except BulkheadError as error:
            self._ledger.delivery_tried(delivery.import_id, delivery.channel, delivery.target, str(error))
            raise
        self._ledger.delivery_tried(delivery.import_id, delivery.channel, delivery.target)

    @activity.defn(name=TRY_RECEIVER.name)
    @told_apart
    def try_receiver(self, delivery: Delivery) -> None:
        """Send a message that is about nothing, to somebody who is told of imports; the ledger keeps nothing of it."""
        settings, message_id = self._settings, f"msg_{uuid.uuid4().hex}"
        receiver = self._receiver(delivery)
        if receiver.channel == WEBHOOK:
            self._post(receiver, notify.test_payload(page=settings.url), message_id)
            return
        message = notify.test_email(page=settings.url, sender=settings.email_from, to=delivery.target, message_id=message_id)
        notify.send_email(message, smtp_url=settings.smtp_url, outbox=settings.outbox_dir)

    def _receiver(self, delivery: Delivery, named: Sequence[str] = ()) -> Receiver:
        found = self._receivers.find(delivery.channel, delivery.target, named)
        if found is None:
            raise NotUsable("Nobody names this receiver any more: neither the settings, nor an admin, nor the upload.")
        return found

    def _post(self, receiver: Receiver, body: dict[str, Any], message_id: str) -> None:
        allow_private = self._settings.webhook_allow_private
        try:
            notify.send_webhook(
                receiver.target, body, message_id=message_id, secret=receiver.secret, allow_private=allow_private
            )
        except Gone as error:
            self._receivers.switch_off(receiver, str(error))
            raise

    def _send(self, receiver: Receiver, one: Import, message_id: str) -> None:
        settings, page = self._settings, f"{self._settings.url}/imports/{one.id}"
        shown = one.to_json(settings.url)
        if receiver.channel == WEBHOOK:
            self._post(receiver, notify.payload(shown, page=page), message_id)
            return
        message = notify.compose_email(
            shown,
            page=page,
            sender=settings.email_from,
            to=receiver.target,
            message_id=message_id,
            groups=self._groups(one.id),
        )
        notify.send_email(message, smtp_url=settings.smtp_url, outbox=settings.outbox_dir)

    def _groups(self, import_id: str) -> list[dict[str, Any]]:
        """What validation found, in groups; none if it never came so far."""
        try:
            found: list[dict[str, Any]] = json.loads(self._store.get_bytes(f"{report_prefix(import_id)}{groups.FILE}"))["items"]
        except NotThere:
            return []
        return found
