"""Define the models of findings, failures, validation runs and result files."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

from pipeline.contracts.states import State
from web.models.common import Given, ImportPath, PageQuery
from web.models.imports import Counts, Removed


class ReportPath(ImportPath):
    page: str = Field(description="Path of a file in the report")


class FindingsQuery(PageQuery):
    format: Literal["csv", "json", "parquet", "arrow", "xlsx"] | None = Field(
        None,
        description="All findings as one file instead of a page; xlsx has the uploaded rows, marked, and takes no filter",
    )
    code: str | None = Field(None, description="Only findings with this code")
    severity: Literal["error", "warning"] | None = None


class GroupsQuery(Given):
    code: str | None = Field(None, description="Only groups of this code")


class FailuresQuery(PageQuery):
    format: Literal["native", "parquet", "arrow", "csv", "json"] | None = Field(
        None, description="All failures as one file instead of a page; native: the format of the uploaded file"
    )


class RowsQuery(Given):
    """The format of a file of rows."""

    format: Literal["native", "parquet", "arrow", "csv", "json"] = Field(
        "native", description="native: the format of the uploaded file"
    )


class Finding(BaseModel):
    """A validation result for a row or for the whole file."""

    code: str
    severity: Literal["error", "warning"]
    message: str
    place: str | None = Field(
        None, description="Where it is: the cell of a workbook or the line of a text file; empty for the whole file"
    )
    row: int | None = Field(description="Number of the record, from 1, without the header")
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
    """Findings with the same message; values that differ between them are replaced by an ellipsis."""

    code: str
    severity: Literal["error", "warning"]
    column: str | None
    kind: Literal["none", "empty", "number", "text"] = Field(description="Kind of the value")
    message: str
    hint: str | None
    count: int
    first: list[Finding] = Field(description="The first five findings; long lists in them are cut")


class FindingGroups(BaseModel):
    """The most frequent groups, at most 1,000. All findings are at /errors"""

    items: list[FindingGroup]
    groups: int
    total: int


class UnmetExpectation(BaseModel):
    """An expectation that a file did not meet, in words."""

    rule: str
    column: str | None
    severity: Literal["error", "warning"]
    records: int = Field(description="How many records offend; 0 if it is about the file as a whole")


class ExpectationCounts(BaseModel):
    """How many expectations were evaluated and met, SQL checks included, and the first twenty that were not."""

    evaluated: int
    met: int
    unmet: list[UnmetExpectation]


class ValidationRun(BaseModel):
    """The validation of one file of the dataset."""

    id: str
    filename: str
    created_at: str
    state: State
    records: int
    errors: int
    warnings: int
    by_code: dict[str, int]
    expectations: ExpectationCounts | None = Field(description="null: the file was validated before this was stored")


class ValidationRuns(BaseModel):
    items: list[ValidationRun]
    next_cursor: str | None


class ValidationsQuery(PageQuery):
    limit: int = Field(50, ge=1, le=200, description="Number of files on a page")


class Failure(BaseModel):
    """A record that was quarantined by validation or permanently rejected by the warehouse."""

    place: str = Field("", description="Where it is: the row of a workbook or the line of a text file")
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
    files: list[ResultsFile] = Field(description="Files that are stored")
    rows: dict[str, ResultsRows] = Field(description="Files that can be requested: succeeded, failed, unprocessed")
    summary: dict[str, Any] | None
    removed: Removed


class BeingWritten(BaseModel):
    """The file is still being written. Ask again after the time in Retry-After."""

    state: Literal["being_written"]
    detail: str
