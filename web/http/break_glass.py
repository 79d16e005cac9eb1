"""Tell the operator's and the admins' recipients that a break-glass key is in use, without delay for the request."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

import structlog

from pipeline.ledger.api_keys import ApiKey
from pipeline.notify.break_glass import Use, tell_of
from web.app_context import AppContext

log = structlog.get_logger(__name__)


def tell(key: ApiKey, context: AppContext, address: str) -> None:
    """Tell them in a thread, at most once an hour and key: what is broken in an emergency must not delay the key."""

    def send() -> None:
        try:
            if context.keys.is_to_be_told(key.id):
                tell_of(Use(key.name, address, datetime.now(UTC)), context.recipients, context.settings)
        except Exception as error:  # the audit log has the use; this thread has no caller
            log.error("break-glass use not told", key_id=key.id, error=type(error).__name__)

    threading.Thread(target=send, name="break-glass", daemon=True).start()
