"""What the checks of datasets need in order to have recipients notified."""

from __future__ import annotations

from typing import Protocol

from pipeline.contracts.dataset_messages import DatasetMessage


class Notifier(Protocol):
    """What starts the messages: adapters/temporal.py."""

    def notify_of_dataset(self, message: DatasetMessage) -> None:
        """Have recipients notified, once of each silence, of its end, and of an audit."""
