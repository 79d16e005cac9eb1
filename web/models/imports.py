"""What the API takes, as models: they check the requests and write /openapi.json."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, RootModel, TypeAdapter, ValidationError

from pipeline.contracts.messages import DELIMITER_NAMES, OnError, Options, State
from pipeline.errors import NotUsable
from pipeline.ledger.api_keys import Role
from pipeline.notify import targets
from pipeline.notify.recipients import NamedBy


class Given(BaseModel):
    """A parameter that we do not know is more likely a slip than of no matter."""

    model_config = ConfigDict(extra="forbid")


class DatasetPath(BaseModel):
    dataset: str = Field(description="Name of a dataset; GET /v1/datasets lists them")


class RecordPath(DatasetPath):
    record_id: str = Field(description="Id of a record; encode a slash in it as %2F")


class ImportPath(BaseModel):
    import_id: str = Field(description="Id of an import")


class ReportPath(ImportPath):
    page: str = Field(description="Path of a file of the report")


class KeyPath(BaseModel):
    key_id: str = Field(description="Id of an API key")


class WebhookPath(BaseModel):
    webhook_id: str = Field(description="Id of a receiver; GET /v1/webhooks lists them")


class DeliveryPath(WebhookPath):
    import_id: str = Field(description="Id of the import that the message is about")


DelimiterName = Literal[",", ";", "\t", "|", "comma", "semicolon", "tab", "pipe"]
_MAPPING = TypeAdapter(dict[str, str])


def _is_mapping(text: str) -> str:
    try:
        _MAPPING.validate_json(text)
    except ValidationError:
        raise ValueError('it is a JSON object of texts, such as {"Name": "name"}') from None
    return text


def _are_addresses(text: str) -> str:
    try:
        targets.listed(text)
    except NotUsable as error:
        raise ValueError(str(error)) from None
    return text


class UploadQuery(Given):
    filename: str | None = Field(None, description="What the file is called")
    dry_run: bool = Field(False, description="Only validate, and foresee what a load would do; promote loads it")
    on_error: OnError | None = Field(
        None,
        description="Reject a file with errors, or hold back the bad records and what hangs below them; else the dataset says",
    )
    max_errors: int | None = Field(
        None, ge=0, description="Quarantine at most so many records with errors, else reject the file"
    )
    max_error_ratio: float | None = Field(None, ge=0, le=1, description="The same as a share of the file's records")
    delimiter: DelimiterName | None = Field(
        None, description="What stands between the values of a delimited text; else it is detected, and shown"
    )
    force: bool = Field(False, description="Load it even if this very content was loaded before; else it is a duplicate")
    mapping: Annotated[str, AfterValidator(_is_mapping)] | None = Field(
        None,
        description="A JSON object: columns of the file -> the dataset's, or an empty text for one that is to be left out",
    )
    notify: Annotated[str, AfterValidator(_are_addresses)] | None = Field(
        None,
        description="Whom to tell of the end, beside those that are told anyway: e-mail and https addresses, with commas",
    )

    @property
    def options(self) -> Options:
        """What the upload asks for."""
        asked = self.model_dump(exclude={"filename", "delimiter", "mapping", "notify"})
        delimiter = self.delimiter and DELIMITER_NAMES.get(self.delimiter, self.delimiter)
        mapping, notify = json.loads(self.mapping or "{}"), targets.listed(self.notify or "")
        return Options(**asked, delimiter=delimiter, mapping=mapping, notify=notify)


class TemplateQuery(Given):
    format: Literal["csv", "xlsx"] = Field("csv", description="Text, or an Excel workbook")


class PreviewQuery(Given):
    filename: str | None = Field(None, description="What the file is called, as for the upload")
    whole: bool = Field(False, description="The body is the whole file, not only its beginning")
    delimiter: DelimiterName | None = Field(None, description="What stands between the values; else it is detected")


class MappingBody(Given):
    columns: list[str] = Field(min_length=1, max_length=1000, description="All columns of the file, as its header names them")
    mapping: dict[str, str] = Field(description="Columns of the file -> the dataset's; an empty text leaves one out")


class RetryQuery(Given):
    filename: str | None = Field(None, description="What the corrected file is called")
    only: Literal["failed", "unprocessed"] | None = Field(
        None, description="Which records, without a corrected file; else the failed ones, or if there are none the unprocessed"
    )


class PageQuery(Given):
    limit: int = Field(100, ge=1, le=1000, description="Items on a page")
    cursor: str | None = Field(None, description="next_cursor of the page before")


class ImportsQuery(PageQuery):
    limit: int = Field(50, ge=1, le=200, description="Imports on a page")
    dataset: str | None = None
    state: State | None = None


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


class KinQuery(PageQuery):
    counts: bool = Field(False, description="Say of each record how many children it has, as _children")
    counts_max: int | None = Field(
        None, ge=1, description="Count nobody's children beyond this: a count that reaches it may be more"
    )


class RecordsQuery(KinQuery):
    parentId: str | None = Field(None, description="Only the children of this record")  # noqa: N815 - as the files say
    root: bool = Field(False, description="Only records without a parent")
    id: str | None = Field(None, description="Only this record, for ids that no path can hold, such as '..'")
    format: Literal["csv", "json", "ndjson", "parquet", "arrow"] | None = Field(
        None, description="All of them as one file with the dataset's columns, instead of a page"
    )


class DescendantsQuery(KinQuery):
    max_depth: int = Field(1000, ge=1, le=1000, description="Levels below the record")


class QueryQuery(Given):
    format: Literal["json", "csv", "parquet", "arrow"] = Field("json", description="What to answer with")


class QueryBody(Given):
    sql: str = Field(description="One SELECT over the tables of the schema warehouse")
    limit: int | None = Field(None, ge=1, description="At most so many rows")


class KeyBody(Given):
    name: str = Field(min_length=1, max_length=200, description="Whose key it is, or what for")
    role: Role = Role.READER
    datasets: list[str] | None = Field(
        None, min_length=1, description="The only datasets that there are for this key; null: all, as always for an admin"
    )


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


class PreviewColumn(BaseModel):
    name: str
    becomes: str | None = Field(description="What the reader makes of it; null: the file would be refused for it")
    suggested: str | None = Field(description="What should be made of it; an empty text: to be left out")
    why: Literal["", "remembered", "similar"]


class PreviewAnswer(BaseModel):
    """The beginning of a file. delimiter and sheet are empty where the format has none."""

    format: str
    compression: str
    encoding: str
    delimiter: str
    sheet: str
    members: int = Field(description="Files in the archive, of which the first is shown")
    remembered: bool = Field(description="A file with this header was mapped before")
    columns: list[PreviewColumn]
    rows: list[list[str | None]]
    takes: list[str] = Field(description="The columns of the dataset that a file may have")
    needs: list[str] = Field(description="And those that it must have")
    takes_others: bool = Field(description="The dataset keeps other columns too, under their names")


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


class ChildrenCount(BaseModel):
    id: str
    children: int


class RecordPage(BaseModel):
    items: list[dict[str, Any]]
    next_cursor: str | None


class QueryColumn(BaseModel):
    name: str
    type: str


class QueryAnswer(BaseModel):
    columns: list[QueryColumn]
    rows: list[list[Any]]
    truncated: bool
    seconds: float


class ColumnModel(BaseModel):
    name: str
    type: str
    required: bool


class MartModel(BaseModel):
    """A materialized view over the dataset, refreshed after imports."""

    name: str
    state: Literal["fresh", "waiting", "refreshing", "failed"]
    refreshed_at: str | None = Field(description="It has what was loaded before then; null: not refreshed since it was made")
    error: str = Field(description="Why the last refresh failed; empty: it did not")


class DatasetModel(BaseModel):
    name: str
    title: str
    key: str
    parent: str
    rest: str | None = Field(description="The column that takes what has no column of its own; null: there is none")
    columns: list[ColumnModel]
    marts: list[MartModel]


class DatasetList(BaseModel):
    items: list[DatasetModel]
    next_cursor: None


class RecordModel(RootModel[dict[str, Any]]):
    """A record with all its columns, and with its lineage: _import_id, _row and _loaded_at."""


class KeyModel(BaseModel):
    id: str
    name: str
    role: Role
    created_at: str
    last_used_at: str | None
    revoked_at: str | None
    datasets: list[str] | None = Field(description="The only datasets that there are for this key; null: all")


class MadeKey(KeyModel):
    key: str = Field(description="The key itself, shown here and never again")


class KeyList(BaseModel):
    items: list[KeyModel]
    next_cursor: None


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


class Nothing(BaseModel):
    """An empty object."""


class ReceiverModel(BaseModel):
    """Somebody who is told; of an address, nothing that may be a secret."""

    id: str
    channel: Literal["webhook", "email"]
    target: str
    named_by: NamedBy = Field(description="The settings, an admin (by POST /v1/webhooks), or one upload")
    datasets: list[str] | None = Field(description="Of whose imports it is told; null: of all")
    is_signed: bool
    off_at: str | None = Field(description="Since when it is told nothing; null: it is told")
    off_because: str


class Addressee(BaseModel):
    """Whom a message was for; of an address, nothing that may be a secret."""

    id: str
    channel: Literal["webhook", "email"]
    target: str


class MadeReceiver(ReceiverModel):
    """With what its messages are signed with, which no other answer shows. Empty for mail, which is not signed."""

    secret: str


class ReceiverBody(Given):
    target: str = Field(min_length=3, max_length=targets.CHARACTERS_MAX, description="An https or http address, or one of mail")
    datasets: list[str] | None = Field(None, min_length=1, description="Of whose imports; else of all")


class Receivers(BaseModel):
    items: list[ReceiverModel]
    next_cursor: None


class Sent(BaseModel):
    delivered: bool
    error: str = Field(description="What stood against it; empty if it arrived")


class DeliveryModel(BaseModel):
    import_id: str
    message_id: str = Field(description="The webhook-id, the same however often it is sent")
    receiver: Addressee
    attempts: int
    last_error: str
    created_at: str
    delivered_at: str | None


class DeliveryLog(BaseModel):
    items: list[DeliveryModel]
    next_cursor: None


# --- uploads straight to S3, in the words of Uppy's companion ---


class UploadAsked(BaseModel):
    """``metadata`` is what Uppy knows of a file: the dataset, what the upload may ask for, and more that is ignored."""

    filename: str = Field(description="What the file is called")
    type: str | None = Field(None, description="Its media type; not looked at")
    metadata: dict[str, Any] = Field(
        description="dataset; dry_run, on_error, max_errors, max_error_ratio, delimiter, force, mapping, notify; size if known"
    )

    @property
    def dataset(self) -> str:
        """Where the file belongs."""
        return str(self.metadata.get("dataset") or "")

    @property
    def size_bytes(self) -> int:
        """How large the client says it is; 0 if it does not."""
        said = self.metadata.get("size")
        return said if isinstance(said, int) else 0

    @property
    def options(self) -> Options:
        """What the upload asks for. Raises ValidationError."""
        return _options_among(self.metadata)


class FormQuery(BaseModel):
    filename: str = Field(description="What the file is called")
    type: str | None = Field(None, description="Its media type; not looked at")
    dataset: str = Field("", description="Where it belongs; also as metadata[dataset]")


def options_of_form(given: Mapping[str, str]) -> Options:
    """What a form's address asks for, as ``metadata[dry_run]=true``. Raises ValidationError."""
    return _options_among({name[9:-1]: value for name, value in given.items() if name.startswith("metadata[")})


class UploadPath(BaseModel):
    upload_id: str = Field(description="The uploadId that opening it gave")


class PartPath(UploadPath):
    part_number: int = Field(ge=1, le=10_000)


class UploadKey(Given):
    key: str = Field(description="The key that opening it gave")


class PartsQuery(UploadKey):
    partNumbers: str = Field(pattern=r"^[0-9]{1,5}(,[0-9]{1,5})*$", max_length=5_000, description="Several, with commas")  # noqa: N815

    @property
    def numbers(self) -> list[int]:
        """Those that a part can have."""
        return [number for number in map(int, self.partNumbers.split(",")) if 1 <= number <= 10_000]


class PartGiven(BaseModel):
    number: int = Field(alias="PartNumber", ge=1, le=10_000)
    etag: str = Field(alias="ETag")


class PartsGiven(BaseModel):
    parts: list[PartGiven] = Field(max_length=10_000)


class UploadLinks(BaseModel):
    self: str


class OpenedUpload(BaseModel):
    key: str
    uploadId: str  # noqa: N815
    id: str = Field(description="The import that the upload will be")
    links: UploadLinks


class StoredPart(BaseModel):
    PartNumber: int
    Size: int
    ETag: str


class StoredParts(RootModel[list[StoredPart]]):
    """In their order."""


class SignedPart(BaseModel):
    url: str
    expires: int = Field(description="Seconds")


class SignedParts(BaseModel):
    presignedUrls: dict[str, str]  # noqa: N815


class WholeUpload(BaseModel):
    location: str = Field(description="The import")
    id: str
    links: UploadLinks


class FormUpload(BaseModel):
    method: Literal["POST"]
    url: str
    fields: dict[str, str]
    headers: dict[str, str]
    expires: int
    id: str
    links: UploadLinks


def _options_among(given: Mapping[str, Any]) -> Options:
    asked = {name: value for name, value in given.items() if name in set(UploadQuery.model_fields) - {"filename"}}
    if isinstance(mapping := asked.get("mapping"), dict):
        asked["mapping"] = json.dumps(mapping)
    if isinstance(notify := asked.get("notify"), list):
        asked["notify"] = ",".join(map(str, notify))
    return UploadQuery.model_validate(asked).options
