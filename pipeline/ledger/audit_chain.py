"""The hash chain of the audit log: what an event's hash is, and whether a log is complete and unchanged.

An event's hash is the SHA-256 of its canonical JSON (RFC 8785), which contains the hash of the event before it. The database
computes it when an event is added (sql/migrations/versions/0016_audit_log.sql); this module computes it anew from what is
stored, so that it does not have to trust the database's functions.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

REMOVAL = "audit_log_removal"
"""The action of the event that records a removal by retention; its details have the last removed event's seq and hash."""

HASHED = (
    *("action", "actor_id", "actor_kind", "actor_name", "address", "at", "details", "previous", "reason", "request_id"),
    *("result", "seq", "status", "target_id", "target_kind", "trace_id", "user_agent"),
)
"""What the hash covers: everything but itself."""


def shown_time(at: datetime) -> str:
    """Return a time as the canonical JSON has it: UTC, with microseconds."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def canonical(event: Mapping[str, Any]) -> bytes:
    """Return an event's canonical JSON. ``at`` is a time, or a text as ``shown_time`` writes it."""
    content = {name: event[name] for name in HASHED}
    if isinstance(content["at"], datetime):
        content["at"] = shown_time(content["at"])
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode("utf-8", "surrogatepass")


def digest(event: Mapping[str, Any]) -> str:
    """Return the hash that an event must have."""
    return hashlib.sha256(canonical(event)).hexdigest()


@dataclass(frozen=True)
class Verdict:
    """What a verification found. ``fault`` says which event does not fit and how; it is empty if all do."""

    events: int
    first_seq: int | None
    head_seq: int | None
    head_hash: str
    fault: str = ""
    fault_seq: int | None = None

    @property
    def ok(self) -> bool:
        """Return whether the log is complete and unchanged."""
        return not self.fault


def verify(events: Iterable[Mapping[str, Any]], head: str = "", *, is_whole: bool = True) -> Verdict:
    """Verify a whole log, oldest event first; stop at the first event that does not fit. Not ``is_whole``: the end of a log.

    ``head``: the hash of an event that must be in it, noted elsewhere before. Without one, a log whose newest events were cut
    off looks complete: nothing after them refers to them.
    """
    chain = _Chain(head)
    for event in events:
        if fault := chain.fault_of(event):
            return chain.verdict(fault, int(event["seq"]))
        chain.add(event)
    if is_whole and (fault := chain.fault_at_end()):
        return chain.verdict(fault, chain.first["seq"] if chain.first else None)
    return chain.verdict()


class _Chain:
    """The events seen so far."""

    def __init__(self, head: str) -> None:
        self._head, self._has_head = head, not head
        self._count = 0
        self._removals: set[tuple[str, str]] = set()
        self.first: Mapping[str, Any] | None = None
        self._last: Mapping[str, Any] | None = None

    def fault_of(self, event: Mapping[str, Any]) -> str:
        """Return in words how an event does not fit to the ones before it; empty if it does."""
        seq, last = int(event["seq"]), self._last
        if last is not None and seq != last["seq"] + 1:
            gap = (last["seq"] + 1, seq - 1)
            if gap[0] > gap[1]:
                return f"Event {seq} is out of order: it comes after event {last['seq']}."
            missing = f"Event {gap[0]} is" if gap[0] == gap[1] else f"Events {gap[0]} to {gap[1]} are"
            return f"{missing} missing before event {seq}."
        if digest(event) != event["hash"]:
            return f"Event {seq} was changed: its content does not have its hash."
        if last is not None and event["previous"] != last["hash"]:
            return (
                f"Event {seq} does not follow event {last['seq']}: it names another hash before it."
                f" One of the two was changed, replaced or moved."
            )
        if seq == 1 and event["previous"]:
            return "Event 1 names an event before it, and there can be none."
        return ""

    def add(self, event: Mapping[str, Any]) -> None:
        """Count an event that fits."""
        self.first = self.first or event
        self._last, self._count = event, self._count + 1
        self._has_head = self._has_head or event["hash"] == self._head
        if event["action"] == REMOVAL:
            details = event["details"]
            self._removals.add((str(details.get("last_seq")), str(details.get("last_hash"))))

    def fault_at_end(self) -> str:
        """Return in words what is missing of a log whose events fit to each other; empty if nothing is."""
        first = self.first
        if first and first["seq"] > 1 and (str(first["seq"] - 1), first["previous"]) not in self._removals:
            return f"The events before event {first['seq']} are missing, and no removal by retention has recorded that."
        if not self._has_head:
            return (
                f"No event has the hash {self._head}. The newest events were cut off, or the log was replaced;"
                " or retention has removed that event since."
            )
        return ""

    def verdict(self, fault: str = "", seq: int | None = None) -> Verdict:
        first, last = self.first, self._last
        return Verdict(
            events=self._count,
            first_seq=first["seq"] if first else None,
            head_seq=last["seq"] if last else None,
            head_hash=last["hash"] if last else "",
            fault=fault,
            fault_seq=seq,
        )
