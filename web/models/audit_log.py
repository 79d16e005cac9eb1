"""Define the models of the audit log."""

from __future__ import annotations

from typing import Literal

from pydantic import AwareDatetime, BaseModel, Field

from pipeline.ledger.audit_log import Action, Result
from web.models.common import PageQuery


class AuditLogQuery(PageQuery):
    actor: str | None = Field(None, max_length=200, description="ID of a key or a user, or a part of its name")
    action: Action | None = None
    target: str | None = Field(None, max_length=200, description="ID of what was acted on: an import, a dataset, a key")
    result: Result | None = None
    since: AwareDatetime | None = Field(None, description="Not before this time")
    until: AwareDatetime | None = Field(None, description="Before this time")
    format: Literal["csv", "ndjson"] | None = Field(None, description="All events as a file, oldest first")


class AuditEventModel(BaseModel):
    seq: int = Field(description="Number of the event, without gaps")
    at: str
    action: Action
    actor_kind: str = Field(description="key, user, cli, system or anonymous")
    actor_id: str
    actor_name: str
    target_kind: str
    target_id: str
    result: Result
    status: int | None = Field(description="HTTP status of the answer; null: recorded in the transaction of the action")
    reason: str = Field(description="Why it was refused or failed: the code of the problem")
    address: str = Field(description="Address of the client")
    user_agent: str
    request_id: str
    trace_id: str
    details: dict[str, str]
    previous: str = Field(description="Hash of the event before this one")
    hash: str = Field(description="SHA-256 of the canonical JSON of all other fields")


class AuditLogPage(BaseModel):
    items: list[AuditEventModel]
    next_cursor: str | None
