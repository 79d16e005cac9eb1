"""Messages about the outcomes of imports: their recipients, the attempts, and whether each was delivered.

Delivery is at least once. A message keeps its ID however often it is tried, so that its recipient can tell a repetition.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import Engine

from pipeline.contracts.messages import Outcome
from pipeline.contracts.states import State
from pipeline.ledger.statements import Statements


class Deliveries:
    """Record and read deliveries."""

    def __init__(self, engine: Engine) -> None:
        self._statements = Statements(engine)

    def of_import(self, import_id: str) -> list[dict[str, Any]]:
        """Return the messages about an import's outcome, with their attempts and whether they were delivered."""
        return [dict(row) for row in self._statements.rows("deliveries/list", import_id=import_id)]

    def recent(self, imports: int) -> list[dict[str, Any]]:
        """Return the same of the last ``imports``, newest first, each with its import's ID, filename, dataset and state."""
        return [dict(row) for row in self._statements.rows("deliveries/recent", imports=imports)]

    def open(self, import_id: str, channel: str, target: str, message_id: str) -> None:
        """Record a message to be sent; no effect the second time."""
        self._statements.run("deliveries/open", import_id=import_id, channel=channel, target=target, message_id=message_id)

    def mark_planned(self, import_id: str, state: State) -> None:
        """Record that all messages about this final state are opened; no effect if the import has left it since."""
        self._statements.run("deliveries/mark_planned", import_id=import_id, state=state)

    def is_planned(self, import_id: str, state: State) -> bool:
        """Return whether that was recorded."""
        return bool(self._statements.rows("deliveries/is_planned", import_id=import_id, state=state))

    def record_attempt(
        self, import_id: str, channel: str, target: str, error: str = "", *, wait_seconds: float = 0.0, is_last: bool = False
    ) -> None:
        """Record one attempt; without an error the message was delivered. Otherwise the next attempt is due in
        ``wait_seconds``, unless this was the last."""
        given = {"error": error, "wait_seconds": wait_seconds, "is_last": is_last}
        self._statements.run("deliveries/record_attempt", import_id=import_id, channel=channel, target=target, **given)

    def postpone(self, import_id: str, channel: str, target: str, wait_seconds: float) -> None:
        """Make a message due in ``wait_seconds``, without an attempt now."""
        given = {"channel": channel, "target": target, "wait_seconds": wait_seconds}
        self._statements.run("deliveries/postpone", import_id=import_id, **given)

    def postpone_overdue(self, import_id: str, wait: timedelta) -> None:
        """Make the overdue messages of an import due after ``wait``: they are being sent."""
        self._statements.run("deliveries/postpone_overdue", import_id=import_id, wait_seconds=wait.total_seconds())

    def forgotten(self, *, within: timedelta, ended: timedelta, overdue: timedelta, limit: int) -> list[Outcome]:
        """Return outcomes that no run sends messages about any more, among imports that ended ``within`` that time, oldest
        first.

        Either the messages were never planned although the import ended more than ``ended`` ago, or one is ``overdue`` by that
        long.
        """
        rows = self._statements.rows(
            "deliveries/forgotten",
            final=[state for state in State if state.is_final],
            within=within.total_seconds(),
            ended=ended.total_seconds(),
            overdue=overdue.total_seconds(),
            imports=limit,
        )
        return [Outcome(row["id"], State(row["state"]), row["reason"]) for row in rows]
