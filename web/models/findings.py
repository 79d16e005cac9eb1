"""Models of findings, failures, validation runs and result files."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

from pipeline.contracts.states import State
from web.models.common import Given, ImportPath, PageQuery
from web.models.imports import Counts, Removed


class ReportPath(ImportPath):
    page: str = Field(description="Path of a file of the report")


class FindingsQuery(PageQuery):
    format: Literal["csv", "json", "parquet", "arrow", "xlsx"] | None = Field(
        None,
        description="All findings as one file, instead of a page; xlsx has the file's own rows, marked, and takes no filter",
    )
    code: str | None = Field(None, description="Only findings with this code")
    severity: Literal["error", "warning"] | None = None


class GroupsQuery(Given):
    code: str | None = Field(None, description="Only groups of this code")


class FailuresQuery(PageQuery):
    format: Literal["native", "parquet", "arrow", "csv", "json"] | None = Field(
        None, description="All failures as one file, instead of a page; native is the format that was uploaded"
    )


class RowsQuery(Given):
    """Which file of rows."""

    format: Literal["native", "parquet", "arrow", "csv", "json"] = Field(
        "native", description="native is the format that was uploaded"
    )


class Finding(BaseModel):
    """What validation says of a row, or of the file."""

    code: str
    severity: Literal["error", "warning"]
    message: str
    place: str | None = Field(None, description="Where to look: the cell of a workbook, the line of a text; empty for the file")
    row: int | None = Field(description="The number of the record, from 1 without the header")
    id: str | None
    line: int | None
    column: str | None
    value: str | None
    hint: str | None
    related: list[str] | None
    cycle: list[str] | None


class FindingPage(BaseModel):
    items: list[Finding]
    next_cursor: str | None
    total: int


class FindingGroup(BaseModel):
    """Findings that say the same; where their messages differ in values, an ellipsis stands for these."""

    code: str
    severity: Literal["error", "warning"]
    column: str | None
    kind: Literal["none", "empty", "number", "text"] = Field(description="Of what kind the value is")
    message: str
    hint: str | None
    count: int
    first: list[Finding] = Field(description="The first of them, five at most; of long lists only the beginning")


class FindingGroups(BaseModel):
    """The most frequent groups, at most 1,000 of them; every single finding is under /errors"""

    items: list[FindingGroup]
    groups: int
    total: int


class ValidationRun(BaseModel):
    """What validation said of one file of the dataset."""

    id: str
    filename: str
    created_at: str
    state: State
    records: int
    errors: int
    warnings: int
    by_code: dict[str, int]


class ValidationRuns(BaseModel):
    items: list[ValidationRun]


class Failure(BaseModel):
    """A record that was held back, or that the warehouse refused for good."""

    place: str = Field("", description="Where to look: the row of a workbook, the line of a text")
    row: int
    id: str
    code: str
    sqlstate: str
    message: str
    batch_no: int
    part_no: int
    record: dict[str, Any]


class FailurePage(BaseModel):
    items: list[Failure]
    next_cursor: str | None
    total: int


class ResultsFile(BaseModel):
    name: str
    href: str
    size_bytes: int


class ResultsRows(BaseModel):
    count: int
    href: str


class ResultsModel(BaseModel):
    id: str
    state: State
    reason: str
    counts: Counts
    files: list[ResultsFile] = Field(description="Those that are there")
    rows: dict[str, ResultsRows] = Field(description="Those that can be had: succeeded, failed, unprocessed")
    summary: dict[str, Any] | None
    removed: Removed


class BeingWritten(BaseModel):
    """The file is not there yet: ask again, as Retry-After says."""

    state: Literal["being_written"]
    detail: str
