"""A mail server that keeps what it gets."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from typing import Any

from aiosmtpd.controller import Controller

from tests.support.prometheus import free_port


class Mailbox:
    """The subjects of the messages that have arrived; ``url`` is for BULKHEAD_SMTP_URL."""

    def __init__(self) -> None:
        self.subjects: list[str] = []
        self._port = free_port()
        self.url = f"smtp://127.0.0.1:{self._port}"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        """Take a message."""
        self.subjects.append(str(message_from_bytes(envelope.content, policy=policy.default)["Subject"]))
        return "250 OK"

    @contextmanager
    def open(self) -> Iterator[Mailbox]:
        """Take messages during the block."""
        controller = Controller(self, hostname="127.0.0.1", port=self._port)
        controller.start()
        try:
            yield self
        finally:
            controller.stop()
