"""Activities of notifications: list the recipients of an import's end, deliver one message, send a test message."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

from temporalio import activity

from pipeline.adapters.s3 import NotThere, Store
from pipeline.contracts.messages import Deliveries, Delivery, Outcome
from pipeline.contracts.object_keys import report_prefix
from pipeline.contracts.states import State
from pipeline.contracts.steps import DELIVER, LIST_RECIPIENTS, SEND_TEST
from pipeline.errors import Busy, NotFound, PermanentError, RecipientGone, TransientError
from pipeline.ledger.ledger import Ledger
from pipeline.ledger.models import ImportRecord
from pipeline.lineage.sender import LineageSender
from pipeline.notify import email, webhook
from pipeline.notify.delivery_limits import DeliveryLimits, Key
from pipeline.notify.recipients import NamedBy, Recipient, Recipients, recipient_id
from pipeline.notify.targets import EMAIL, WEBHOOK, web_parts
from pipeline.orchestration.dataset_message_activities import DatasetMessageActivities
from pipeline.orchestration.heartbeat_and_failures import converts_errors
from pipeline.report import finding_groups
from pipeline.settings import Settings
from pipeline.telemetry import metrics, tracing
from pipeline.telemetry.catalog import DELIVERIES

PER_HOST = 3
"""Concurrent attempts to one host. All e-mail goes to one host, the mail server."""

PER_DATASET = 8
"""Concurrent attempts about one dataset's imports to recipients that uploads name, and as many to all others."""

PER_KIND = 12
"""Concurrent attempts to recipients that uploads name, and as many to all others: neither uses all threads (worker.py)."""

PER_OLD_QUEUE = 2
"""Concurrent attempts on another task queue than MESSAGES: of workflows that started before there was one."""

LINEAGE = "lineage"
"""The channel of OpenLineage events. They are no recipient's messages: the ledger has no row of them."""

RETRY_SECONDS, RETRY_FACTOR, RETRY_SECONDS_MAX = 5.0, 4.0, 36_000.0
"""Retry policy, about that of Standard Webhooks: seconds, minutes, then hours, for three days. Only real attempts count."""


class NotifyActivities:
    """The steps of notifications, on one worker."""

    def __init__(self, settings: Settings, store: Store, ledger: Ledger, receivers: Recipients) -> None:
        self._settings = settings
        self._store = store
        self._ledger = ledger
        self._receivers = receivers
        self._limits = DeliveryLimits()
        self._lineage = LineageSender(settings, store, ledger)
        self._of_datasets = DatasetMessageActivities(settings, receivers)

    @property
    def all(self) -> list[Callable[..., Any]]:
        """Return the activities to register."""
        return [self.list_recipients, self.deliver, self.send_test, *self._of_datasets.all]

    @activity.defn(name=LIST_RECIPIENTS.name)
    @converts_errors
    def list_recipients(self, outcome: Outcome) -> Deliveries:
        """Return the messages still to be delivered. The first call enters them in the ledger, each with its message id.

        At an import's start there is an OpenLineage event at most.
        """
        events = (Delivery(outcome.import_id, LINEAGE, receiver=outcome.state),) if self._lineage.is_on else ()
        if not outcome.state.is_final:
            return Deliveries(events)
        if not self._ledger.deliveries.is_planned(outcome.import_id, outcome.state):
            self._note(outcome)
        rows = self._ledger.deliveries.of_import(outcome.import_id)
        still = [row for row in rows if row["delivered_at"] is None and row["given_up_at"] is None]
        ids = [(row["channel"], recipient_id(row["channel"], row["target"])) for row in still]
        messages = (Delivery(outcome.import_id, channel, receiver=receiver) for channel, receiver in ids)
        return Deliveries((*messages, *events))

    def _note(self, outcome: Outcome) -> None:
        known = self._ledger.imports.known(outcome.import_id)
        for one in self._receivers.of_import(known.dataset, known.options.notify):
            name = f"{one.channel}\n{one.target}\n{outcome.state}"
            message_id = f"msg_{uuid.uuid5(uuid.UUID(outcome.import_id), name).hex}"
            self._ledger.deliveries.open(outcome.import_id, one.channel, one.target, message_id)
        self._ledger.deliveries.mark_planned(outcome.import_id, outcome.state)

    @activity.defn(name=DELIVER.name)
    @converts_errors
    def deliver(self, delivery: Delivery) -> None:
        """Deliver one message and record the attempt in the ledger. A recipient that answers 410 (gone) is switched off.

        Raises NotFound if the recipient is not configured any more, and Busy if there are too many concurrent attempts:
        then this was none.
        """
        if delivery.channel == LINEAGE:
            self._send_event(delivery)
            return
        known, row = self._ledger.imports.known(delivery.import_id), self._row(delivery)
        if row["delivered_at"] is not None and not delivery.asked:
            return
        place = (known.id, row["channel"], row["target"])
        try:
            receiver = self._receiver(delivery, known.options.notify)
            by_upload = receiver.named_by is NamedBy.UPLOAD
            others: dict[Key, int] = {("kind", by_upload): PER_KIND, ("dataset", known.dataset, by_upload): PER_DATASET}
            with (
                self._slot(receiver, others, delivery),
                tracing.span("deliver", import_id=known.id, dataset=known.dataset, channel=receiver.channel),
            ):
                self._send(receiver, known, row["message_id"])
        except Busy as error:
            self._ledger.deliveries.postpone(*place, error.wait_seconds or 0.0)
            raise
        except TransientError as error:
            if error.wait_seconds is None:
                error.wait_seconds = min(RETRY_SECONDS * RETRY_FACTOR ** row["attempts"], RETRY_SECONDS_MAX)
            self._ledger.deliveries.record_attempt(*place, str(error), wait_seconds=error.wait_seconds)
            metrics.count(DELIVERIES, channel=row["channel"], result="retried")
            raise
        except PermanentError as error:
            self._ledger.deliveries.record_attempt(*place, str(error), is_last=True)
            metrics.count(DELIVERIES, channel=row["channel"], result="given_up")
            raise
        self._ledger.deliveries.record_attempt(*place)
        metrics.count(DELIVERIES, channel=row["channel"], result="delivered")

    def _send_event(self, delivery: Delivery) -> None:
        """Send an OpenLineage event; a repetition is the same event, by which its receiver replaces the earlier one."""
        try:
            with self._limits.slot((LINEAGE, ""), {}, at_host=PER_HOST, asked=False):
                self._lineage.send(delivery.import_id, State(delivery.receiver))
        except TransientError as error:
            if error.wait_seconds is None:
                attempts = activity.info().attempt if activity.in_activity() else 1
                error.wait_seconds = min(RETRY_SECONDS * RETRY_FACTOR ** (attempts - 1), RETRY_SECONDS_MAX)
            raise

    def _row(self, delivery: Delivery) -> Mapping[str, Any]:
        """Return the ledger's row of the message. Raises NotFound if there is none."""
        wanted = delivery.receiver or recipient_id(delivery.channel, delivery.target)
        for row in self._ledger.deliveries.of_import(delivery.import_id):
            if recipient_id(row["channel"], row["target"]) == wanted:
                return row
        raise NotFound("This import has no message for this recipient.")

    def _slot(self, receiver: Recipient, others: Mapping[Key, int], delivery: Delivery) -> AbstractContextManager[None]:
        """Take a slot among the concurrent attempts. Raises Busy if there is none."""
        queue = activity.info().task_queue
        if not queue.endswith(f"/{DELIVER.queue}"):
            others = {**others, ("queue", queue): PER_OLD_QUEUE}
        host = EMAIL if receiver.channel == EMAIL else web_parts(receiver.target)[1].rstrip(".").lower()
        return self._limits.slot(("host", host), others, at_host=PER_HOST, asked=delivery.asked)

    @activity.defn(name=SEND_TEST.name)
    @converts_errors
    def send_test(self, delivery: Delivery) -> None:
        """Send a test message to a recipient; it is not recorded in the ledger."""
        settings, message_id = self._settings, f"msg_{uuid.uuid4().hex}"
        receiver = self._receiver(delivery)
        with self._slot(receiver, {}, replace(delivery, asked=True)):
            if receiver.channel == WEBHOOK:
                self._post(receiver, webhook.sample_payload(page=settings.url), message_id)
                return
            to = receiver.target
            message = email.sample_email(page=settings.url, sender=settings.email_from, to=to, message_id=message_id)
            email.send_email(message, smtp_url=settings.smtp_url, outbox=settings.outbox_dir)

    def _receiver(self, delivery: Delivery, named: Sequence[str] = ()) -> Recipient:
        found = self._receivers.by_id(delivery.receiver or recipient_id(delivery.channel, delivery.target), named)
        if found is None:
            raise NotFound("This recipient was removed: neither the settings, nor an admin, nor the upload names it.")
        return found

    def _post(self, receiver: Recipient, body: dict[str, Any], message_id: str) -> None:
        allow_private = self._settings.webhook_allow_private
        try:
            webhook.send_webhook(
                receiver.target, body, message_id=message_id, secret=receiver.secret, allow_private=allow_private
            )
        except RecipientGone as error:
            self._receivers.switch_off(receiver, str(error))
            raise

    def _send(self, receiver: Recipient, one: ImportRecord, message_id: str) -> None:
        settings, page = self._settings, f"{self._settings.url}/imports/{one.id}"
        shown = one.to_json(settings.url)
        if receiver.channel == WEBHOOK:
            self._post(receiver, webhook.payload(shown, page=page), message_id)
            return
        message = email.compose_email(
            shown,
            page=page,
            sender=settings.email_from,
            to=receiver.target,
            message_id=message_id,
            groups=self._groups(one.id),
        )
        email.send_email(message, smtp_url=settings.smtp_url, outbox=settings.outbox_dir)

    def _groups(self, import_id: str) -> list[dict[str, Any]]:
        """Return the groups of findings; none if the import was not validated."""
        try:
            found: list[dict[str, Any]] = json.loads(self._store.get_bytes(f"{report_prefix(import_id)}{finding_groups.FILE}"))[
                "items"
            ]
        except NotThere:
            return []
        return found
