"""Define the bodies of the webhooks, for the OpenAPI document; pipeline/notify writes what is sent."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from pipeline.contracts.states import State
from web.models.imports import Counts, FindingCounts, Links, PreviewModel


class PageLink(BaseModel):
    page: str = Field(description="The page for people")


class ImportLinks(Links):
    """The links of an import, and its page for people."""

    page: str


class ImportOutcome(BaseModel):
    """The outcome of an import: state, counts and links; no content of records."""

    id: str
    dataset: str
    state: State
    reason: str
    counts: Counts
    preview: PreviewModel | None = Field(description="What a load would do; only of a dry run")
    findings: FindingCounts
    links: ImportLinks


class ImportMessage(BaseModel):
    """An import has ended. ``type`` is ``import.`` and the state."""

    type: str = Field(pattern="^import[.][a-z_]+$")
    timestamp: str | None = Field(description="When the import ended; RFC 3339")
    data: ImportOutcome


class Silence(BaseModel):
    """Since when no file of a dataset has arrived, and how often one is expected."""

    dataset: str
    last_arrival_at: str = Field(description="The last arrival before the silence; without one, since when files are expected")
    arrived_at: str | None = Field(description="When a file arrived again; null while none has")
    expect_every_seconds: int
    links: PageLink


class SilenceMessage(BaseModel):
    """Files of a dataset do not arrive as expected, or do again."""

    type: Literal["dataset.silent", "dataset.resumed"]
    timestamp: str = Field(description="When the message was written; RFC 3339")
    data: Silence


class MessageCodeCount(BaseModel):
    """The findings of one code, and how many records have them."""

    code: str
    severity: Literal["error", "warning"]
    findings: int
    records: int


class AuditOutcome(BaseModel):
    """What an audit of a dataset's table found, in counts."""

    dataset: str
    audit_id: str
    finished_at: str
    records: int
    records_invalid: int
    errors: int
    warnings: int
    codes: list[MessageCodeCount]
    links: PageLink


class AuditMessage(BaseModel):
    """A scheduled audit found errors, or those that recipients know of are gone."""

    type: Literal["dataset.audited", "dataset.clean"]
    timestamp: str = Field(description="When the message was written; RFC 3339")
    data: AuditOutcome


class TestLinks(BaseModel):
    links: PageLink


class TestMessage(BaseModel):
    """A test that an admin sent."""

    type: Literal["bulkhead.test"]
    timestamp: str
    data: TestLinks


MESSAGES = (ImportMessage, SilenceMessage, AuditMessage, TestMessage)
