"""What the API takes, as models: they check the requests and write /openapi.json."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from pipeline.contracts.options import OnError
from pipeline.contracts.states import State
from web.models.common import Given, PageQuery


class RetryQuery(Given):
    filename: str | None = Field(None, description="What the corrected file is called")
    only: Literal["failed", "unprocessed"] | None = Field(
        None, description="Which records, without a corrected file; else the failed ones, or if there are none the unprocessed"
    )


class ImportsQuery(PageQuery):
    limit: int = Field(50, ge=1, le=200, description="Imports on a page")
    dataset: str | None = None
    state: State | None = None


# --- what the API gives ---


class Source(BaseModel):
    """What the file is; and, once it was read, as what."""

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
    """What the upload asked for; null: the dataset's own rules, or the default."""

    on_error: OnError | None
    max_errors: int | None
    max_error_ratio: float | None
    delimiter: str | None
    force: bool
    without: list[str]
    mapping: dict[str, str]
    notify: list[str] = Field(description="Of addresses, nothing that may be a secret")


class PreviewModel(BaseModel):
    """What a dry run foresees. moved: those of the updated that get another parent; failed: only if there are any."""

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
    quarantined: int = Field(description="Of the failed, those that validation held back")
    unprocessed: int


class Parts(BaseModel):
    total: int
    done: int


class FindingCounts(BaseModel):
    errors: int
    warnings: int
    by_code: dict[str, int]


class Removed(BaseModel):
    """When what was removed, as BULKHEAD_KEEP_... say; null: it is kept, or never was there."""

    results: str | None
    report: str | None
    source: str | None


class Links(BaseModel):
    self: str
    errors: str
    report: str
    results: str


class Creator(BaseModel):
    """The key that a file was uploaded with."""

    id: str
    name: str | None = Field(description="What the key is called; null if it is not known any more")


class ImportModel(BaseModel):
    """One file's run. total = valid + invalid; in the end also inserted + updated + unchanged + failed + unprocessed"""

    id: str
    dataset: str
    state: State
    reason: str
    dry_run: bool
    options: OptionsModel
    retry_of: str | None = Field(description="The import whose failed records this one tries again")
    duplicate_of: str | None = Field(description="The earlier import that had loaded this very content")
    pause_requested: bool = Field(description="No further part is begun until it is resumed")
    cancel_requested: bool = Field(description="It was at work when it was canceled, and ends as canceled, or has")
    source: Source
    counts: Counts
    preview: PreviewModel | None
    parts: Parts
    findings: FindingCounts
    warnings: list[str] = Field(description="What went wrong beside it: marts that do not have its records yet, and why")
    queue_position: int | None
    removed: Removed
    created_at: str
    created_by: Creator | None = Field(description="null: the file was put into the bucket by another client")
    started_at: str | None
    finished_at: str | None
    links: Links


class ImportPage(BaseModel):
    items: list[ImportModel]
    next_cursor: str | None


# --- uploads straight to S3, in the words of Uppy's companion ---
