"""Define the models of imports."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from pipeline.contracts.options import OnError
from pipeline.contracts.states import State
from web.models.common import Given, PageQuery


class RetryQuery(Given):
    filename: str | None = Field(None, description="Name of the corrected file")
    only: Literal["failed", "unprocessed"] | None = Field(
        None,
        description="Which records to retry if no corrected file is sent; default: the failed ones, else the unprocessed ones",
    )
    patch: int | None = Field(
        None, ge=1, description='Import the whole file again, with this version of its edits; also as the body {"patch": 3}'
    )


class ImportsQuery(PageQuery):
    limit: int = Field(50, ge=1, le=200, description="Maximum number of imports on the page")
    dataset: str | None = None
    state: State | None = None
    text: str | None = Field(None, max_length=200, description="A part of the file's name")
    by: str | None = Field(
        None, max_length=200, description="ID of the key or the user that created it, or a part of its name; me: the key in use"
    )
    since: AwareDatetime | None = Field(None, description="Created not before this time")
    until: AwareDatetime | None = Field(None, description="Created before this time")
    with_errors: bool = Field(False, description="Only imports with errors, or with records that were not imported")


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
    patch: str
    retry_of: str | None
    retried_by: list[str]


class PatchApplied(BaseModel):
    """The edits that an import was read with: those of another import's file, in a version."""

    import_id: str
    version: int


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
    retry_of: str | None = Field(description="The import that this one retries, or whose failed records")
    retried_by: list[str] = Field(description="The imports that retry this one or its records, oldest first")
    patch: PatchApplied | None = Field(description="The edits that the file was read with; null: it was read as it is")
    duplicate_of: str | None = Field(description="The earlier import that loaded the same content")
    definition_version: int | None = Field(
        description="The version of the dataset's definition that it was validated with; null: files define the dataset"
    )
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
