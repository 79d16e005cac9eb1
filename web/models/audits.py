"""Define the models of audits."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from pipeline.contracts.audits import AuditState
from web.models.common import DatasetPath
from web.models.imports import Creator, FindingCounts


class AuditPath(DatasetPath):
    audit_id: str = Field(description="ID of an audit")


class AuditReportPath(AuditPath):
    page: str = Field(description="Path of a file in the report")


class AuditProgress(BaseModel):
    step: Literal["reading", "checking", "storing"] | None = Field(description="What it does; null: it does not run")
    records: int = Field(description="Records read so far")


class AuditCode(BaseModel):
    """What was found with one code."""

    code: str
    severity: Literal["error", "warning"]
    findings: int
    records: int = Field(description="Records with such a finding")
    percent: float = Field(description="Their share of all records, in percent")


class AuditRule(BaseModel):
    """One rule or check, whether all records meet it, and how many do not."""

    rule: str
    severity: Literal["error", "warning"]
    met: bool
    records: int
    percent: float
    column: str | None = None


class AuditLinks(BaseModel):
    self: str
    errors: str
    report: str
    workbook: str
    csv: str
    json_: str = Field(alias="json")


class AuditModel(BaseModel):
    """An audit: every rule and check of a dataset over all that is loaded."""

    id: str
    dataset: str
    state: AuditState
    reason: str = Field(description="Why it failed")
    scheduled: bool = Field(description="A schedule requested it (meta.audit_every, BULKHEAD_AUDIT_EVERY)")
    cancel_requested: bool
    progress: AuditProgress
    records: int
    invalid: int = Field(description="Records with errors")
    invalid_percent: float
    findings: FindingCounts
    codes: list[AuditCode]
    rules: list[AuditRule]
    rules_version: str | None
    report_removed_at: str | None = Field(description="When the retention policy deleted the findings (BULKHEAD_KEEP_AUDITS)")
    created_at: str
    created_by: Creator | None = Field(description="null: a schedule")
    started_at: str | None
    finished_at: str | None
    links: AuditLinks


class AuditPage(BaseModel):
    items: list[AuditModel]
    next_cursor: str | None
