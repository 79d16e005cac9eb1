"""Activities of messages about datasets as a whole: list the recipients, deliver one message."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from temporalio import activity

from pipeline.contracts.dataset_messages import DatasetDeliveries, DatasetDelivery, DatasetMessage
from pipeline.contracts.steps import DELIVER_DATASET_MESSAGE, LIST_DATASET_RECIPIENTS
from pipeline.contracts.workflows import dataset_message_workflow_id
from pipeline.errors import Busy, NotFound, PermanentError, RecipientGone, TransientError
from pipeline.notify import email, webhook
from pipeline.notify.dataset_messages import dataset_email, dataset_payload
from pipeline.notify.recipients import Recipient, Recipients
from pipeline.notify.targets import WEBHOOK
from pipeline.orchestration.heartbeat_and_failures import converts_errors
from pipeline.settings import Settings
from pipeline.telemetry import metrics
from pipeline.telemetry.catalog import DELIVERIES

RETRY_SECONDS, RETRY_FACTOR, RETRY_SECONDS_MAX = 5.0, 4.0, 36_000.0
"""As for the messages about imports (notify_activities.py)."""

_NAMESPACE = uuid.UUID("5f0c8d4e-6a58-4a6e-9f0e-3f5f7d1f3a31")


class DatasetMessageActivities:
    """The steps of messages about datasets, on one worker."""

    def __init__(self, settings: Settings, receivers: Recipients) -> None:
        self._settings = settings
        self._receivers = receivers

    @property
    def all(self) -> list[Callable[..., Any]]:
        """Return the activities to register."""
        return [self.list_dataset_recipients, self.deliver_dataset_message]

    @activity.defn(name=LIST_DATASET_RECIPIENTS.name)
    @converts_errors
    def list_dataset_recipients(self, message: DatasetMessage) -> DatasetDeliveries:
        """Return one message for each recipient of the dataset's messages, without those that single uploads named."""
        found = self._receivers.of_import(message.dataset)
        return DatasetDeliveries(tuple(DatasetDelivery(message, one.channel, one.id) for one in found))

    @activity.defn(name=DELIVER_DATASET_MESSAGE.name)
    @converts_errors
    def deliver_dataset_message(self, delivery: DatasetDelivery) -> None:
        """Deliver one message, with the same id in all attempts. A recipient that answers 410 (gone) is switched off."""
        receiver = self._receivers.by_id(delivery.receiver)
        if receiver is None:
            raise NotFound("This recipient was removed: neither the settings nor an admin names it.")
        try:
            self._send(receiver, delivery.message)
        except TransientError as error:
            if error.wait_seconds is None and not isinstance(error, Busy):
                earlier = activity.info().attempt - 1
                error.wait_seconds = min(RETRY_SECONDS * RETRY_FACTOR ** min(earlier, 10), RETRY_SECONDS_MAX)
            metrics.count(DELIVERIES, channel=receiver.channel, result="retried")
            raise
        except PermanentError:
            metrics.count(DELIVERIES, channel=receiver.channel, result="given_up")
            raise
        metrics.count(DELIVERIES, channel=receiver.channel, result="delivered")

    def _send(self, receiver: Recipient, message: DatasetMessage) -> None:
        settings, url, to = self._settings, self._settings.url, receiver.target
        name = f"{dataset_message_workflow_id(message)}\n{receiver.id}"
        message_id = f"msg_{uuid.uuid5(_NAMESPACE, name).hex}"
        if receiver.channel != WEBHOOK:
            mail = dataset_email(message, url=url, sender=settings.email_from, to=to, message_id=message_id)
            email.send_email(mail, smtp_url=settings.smtp_url, outbox=settings.outbox_dir)
            return
        body, allow_private = dataset_payload(message, url=url), settings.webhook_allow_private
        try:
            webhook.send_webhook(to, body, message_id=message_id, secret=receiver.secret, allow_private=allow_private)
        except RecipientGone as error:
            self._receivers.switch_off(receiver, str(error))
            raise
