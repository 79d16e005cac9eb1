"""Telling the user: who is to know of an import's end, and one message to one of them, however often it has to be tried."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

from temporalio import activity

from pipeline import groups, notify
from pipeline.attempt import told_apart
from pipeline.contracts import ADDRESSEES, DELIVER, TRY_RECEIVER, Delivery, Outcome, Told, report_prefix
from pipeline.errors import BulkheadError, NotUsable
from pipeline.ledger import Ledger
from pipeline.settings import Settings
from pipeline.store import NotThere, Store


class Postman:
    """The steps that tell people, on one worker's edges."""

    def __init__(self, settings: Settings, store: Store, ledger: Ledger) -> None:
        self._settings = settings
        self._store = store
        self._ledger = ledger

    @property
    def all(self) -> list[Callable[..., Any]]:
        """What a worker registers."""
        return [self.addressees, self.deliver, self.try_receiver]

    @activity.defn(name=ADDRESSEES.name)
    @told_apart
    def addressees(self, outcome: Outcome) -> Told:
        """Who is to be told; each message gets its lasting id now."""
        deliveries = [Delivery(outcome.import_id, "webhook", url) for url in self._settings.webhook_urls]
        deliveries += [Delivery(outcome.import_id, "email", to) for to in self._settings.email_to]
        for one in deliveries:
            name = f"{one.channel}\n{one.target}\n{outcome.state}"
            message_id = f"msg_{uuid.uuid5(uuid.UUID(one.import_id), name).hex}"
            self._ledger.open_delivery(one.import_id, one.channel, one.target, message_id)
        return Told(tuple(deliveries))

    @activity.defn(name=DELIVER.name)
    @told_apart
    def deliver(self, delivery: Delivery) -> None:
        """Send one message; the ledger keeps how often it was tried and how it ended."""
        known = self._ledger.known(delivery.import_id)
        row = next(
            row
            for row in self._ledger.deliveries(delivery.import_id)
            if (row["channel"], row["target"]) == (delivery.channel, delivery.target)
        )
        try:
            self._send(delivery, known.to_json(self._settings.url), row["message_id"])
        except BulkheadError as error:
            self._ledger.delivery_tried(delivery.import_id, delivery.channel, delivery.target, str(error))
            raise
        self._ledger.delivery_tried(delivery.import_id, delivery.channel, delivery.target)

    @activity.defn(name=TRY_RECEIVER.name)
    @told_apart
    def try_receiver(self, delivery: Delivery) -> None:
        """Send a message that is about nothing, to somebody whom the settings name; the ledger keeps nothing of it."""
        settings, message_id = self._settings, f"msg_{uuid.uuid4().hex}"
        if delivery.target not in {"webhook": settings.webhook_urls, "email": settings.email_to}[delivery.channel]:
            raise NotUsable("The settings do not name this receiver.")
        if delivery.channel == "webhook":
            self._post(delivery.target, notify.test_payload(page=settings.url), message_id)
            return
        message = notify.test_email(page=settings.url, sender=settings.email_from, to=delivery.target, message_id=message_id)
        notify.send_email(message, smtp_url=settings.smtp_url, outbox=settings.outbox_dir)

    def _post(self, url: str, body: dict[str, Any], message_id: str) -> None:
        settings = self._settings
        notify.send_webhook(
            url, body, message_id=message_id, secret=settings.webhook_secret, allow_private=settings.webhook_allow_private
        )

    def _send(self, delivery: Delivery, shown: dict[str, Any], message_id: str) -> None:
        settings, page = self._settings, f"{self._settings.url}/imports/{delivery.import_id}"
        if delivery.channel == "webhook":
            self._post(delivery.target, notify.payload(shown, page=page), message_id)
            return
        message = notify.compose_email(
            shown,
            page=page,
            sender=settings.email_from,
            to=delivery.target,
            message_id=message_id,
            groups=self._groups(delivery.import_id),
        )
        notify.send_email(message, smtp_url=settings.smtp_url, outbox=settings.outbox_dir)

    def _groups(self, import_id: str) -> list[dict[str, Any]]:
        """What validation found, in groups; none if it never came so far."""
        try:
            found: list[dict[str, Any]] = json.loads(self._store.get_bytes(f"{report_prefix(import_id)}{groups.FILE}"))["items"]
        except NotThere:
            return []
        return found
