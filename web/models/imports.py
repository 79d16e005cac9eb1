"""Define the models of imports."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from pipeline.contracts.options import OnError
from pipeline.contracts.states import State
from web.models.common import Given, PageQuery


class RetryQuery(Given):
    filename: str | None = Field(None, description="Name of the corrected file")
    only: Literal["failed", "unprocessed"] | None = Field(
        None,
        description="Which records to retry if no corrected file is sent; default: the failed ones, else the unprocessed ones",
    )


class ImportsQuery(PageQuery):
    limit: int = Field(50, ge=1, le=200, description="Maximum number of imports on the page")
    dataset: str | None = None
    state: State | None = None


# --- responses ---


class Source(BaseModel):
    """The uploaded file; once it has been read, also its format."""

    model_config = ConfigDict(extra="allow")

    filename: str
    size_bytes: int
    sha256: str
    key: str
    format: str = ""
    compression: str = ""
    encoding: str = ""
    delimiter: str = ""


class OptionsModel(BaseModel):
    """The options of the upload; null: the dataset's own rule, or the default."""

    on_error: OnError | None
    max_errors: int | None
    max_error_ratio: float | None
    force: bool
    delimiter: str | None
    quote: str | None
    encoding: str | None
    header_row: int | None
    sheet: str | None
    records_at: str | None
    merged: str | None
    repeated_columns: str | None
    no_parent_values: list[str]
    parent_by: str | None
    shape: dict[str, Any]
    clean: dict[str, Any]
    without: list[str]
    mapping: dict[str, str]
    notify: list[str] = Field(description="Additional recipients. Parts of an address that may be secret are masked")


class PreviewModel(BaseModel):
    """What a load would do, from a dry run. moved: updated records that get another parent; failed: present only if above 0."""

    inserted: int
    updated: int
    unchanged: int
    moved: int
    failed: int = 0


class Counts(BaseModel):
    total: int
    valid: int
    invalid: int
    inserted: int
    updated: int
    unchanged: int
    failed: int
    quarantined: int = Field(description="Failed records that validation quarantined")
    unprocessed: int


class Parts(BaseModel):
    total: int
    done: int


class FindingCounts(BaseModel):
    errors: int
    warnings: int
    by_code: dict[str, int]


class Removed(BaseModel):
    """When the retention policy (BULKHEAD_KEEP_...) deleted each; null: it is kept, or never existed."""

    results: str | None
    report: str | None
    source: str | None


class Links(BaseModel):
    self: str
    errors: str
    report: str
    results: str


class Creator(BaseModel):
    """The API key that uploaded the file."""

    id: str
    name: str | None = Field(description="Name of the key; null if the key no longer exists")


class ImportModel(BaseModel):
    """The import of one file.

    total = valid + invalid; at its end also inserted + updated + unchanged + failed + unprocessed"""

    id: str
    dataset: str
    state: State
    reason: str
    dry_run: bool
    options: OptionsModel
    retry_of: str | None = Field(description="The import whose failed records this one retries")
    duplicate_of: str | None = Field(description="The earlier import that loaded the same content")
    pause_requested: bool = Field(description="A pause was requested: no further part starts until it is resumed")
    cancel_requested: bool = Field(description="Cancellation was requested while it was running; it ends as canceled")
    source: Source
    counts: Counts
    preview: PreviewModel | None
    parts: Parts
    findings: FindingCounts
    warnings: list[str] = Field(description="Problems beside the import: marts that do not have its records yet, and why")
    queue_position: int | None
    removed: Removed
    created_at: str
    created_by: Creator | None = Field(description="null: another client put the file into the bucket")
    started_at: str | None
    finished_at: str | None
    links: Links


class ImportPage(BaseModel):
    items: list[ImportModel]
    next_cursor: str | None
