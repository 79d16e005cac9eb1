"""Define the models of uploads: options, previews, and multipart uploads by presigned URLs, as Uppy's companion has them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Field, RootModel, TypeAdapter, ValidationError

from pipeline.contracts.options import DELIMITER_NAMES, OnError, Options, ReadOptions
from pipeline.errors import InvalidRequest
from pipeline.notify import targets
from web.models.common import Given

DelimiterName = Literal[",", ";", "\t", "|", "comma", "semicolon", "tab", "pipe"]
_MAPPING = TypeAdapter(dict[str, str])


def _is_mapping(text: str) -> str:
    try:
        _MAPPING.validate_json(text)
    except ValidationError:
        raise ValueError('must be a JSON object of texts, such as {"Name": "name"}') from None
    return text


def _are_addresses(text: str) -> str:
    try:
        targets.listed(text)
    except InvalidRequest as error:
        raise ValueError(str(error)) from None
    return text


class UploadQuery(Given):
    filename: str | None = Field(None, description="Name of the file")
    dry_run: bool = Field(False, description="Only validate, and report what a load would do; promote then loads it")
    on_error: OnError | None = Field(
        None,
        description="Reject a file with errors, or quarantine bad records and their descendants; default: the dataset's rule",
    )
    max_errors: int | None = Field(
        None, ge=0, description="Maximum number of records with errors to quarantine; above it, the file is rejected"
    )
    max_error_ratio: float | None = Field(None, ge=0, le=1, description="The same as a share of all records, from 0 to 1")
    delimiter: DelimiterName | None = Field(None, description="Delimiter of a delimited text file; default: detected")
    force: bool = Field(
        False, description="Import again even if this content was already imported; otherwise it is a duplicate"
    )
    mapping: Annotated[str, AfterValidator(_is_mapping)] | None = Field(
        None,
        description="A JSON object from columns of the file to columns of the dataset; an empty text skips the column",
    )
    notify: Annotated[str, AfterValidator(_are_addresses)] | None = Field(
        None,
        description="Also notify these recipients when it ends: e-mail addresses and http(s) URLs, separated by commas",
    )

    @property
    def options(self) -> Options:
        """Return the options of the upload."""
        asked = self.model_dump(exclude={"filename", "delimiter", "mapping", "notify"})
        delimiter = self.delimiter and DELIMITER_NAMES.get(self.delimiter, self.delimiter)
        mapping, notify = json.loads(self.mapping or "{}"), targets.listed(self.notify or "")
        return Options(**asked, delimiter=delimiter, mapping=mapping, notify=notify)


class TemplateQuery(Given):
    format: Literal["csv", "xlsx"] = Field("csv", description="CSV text or an Excel workbook")


class PreviewQuery(Given):
    filename: str | None = Field(None, description="Name of the file, as for the upload")
    whole: bool = Field(False, description="The body is the whole file, not only its beginning")
    delimiter: DelimiterName | None = Field(None, description="Delimiter of the values; default: detected")

    @property
    def options(self) -> ReadOptions:
        """Return how to read the file."""
        return ReadOptions(delimiter=self.delimiter and DELIMITER_NAMES.get(self.delimiter, self.delimiter))


class MappingBody(Given):
    columns: list[str] = Field(min_length=1, max_length=1000, description="All columns of the file, as named in its header")
    mapping: dict[str, str] = Field(
        description="From columns of the file to columns of the dataset; an empty text skips the column"
    )


class PreviewColumn(BaseModel):
    name: str
    becomes: str | None = Field(description="Column that an import would read it as; null: the file would be rejected")
    suggested: str | None = Field(description="Suggested column of the dataset; an empty text: skip it")
    why: Literal["", "remembered", "similar"]


class PreviewAnswer(BaseModel):
    """The beginning of a file. delimiter and sheet are empty if the format has none."""

    format: str
    compression: str
    encoding: str
    delimiter: str
    sheet: str
    members: int = Field(description="Number of files in the archive; the first one is shown")
    text: str = Field(description="Format, delimiter, encoding and compression as text: CSV, comma, UTF-8")
    remembered: bool = Field(description="The mapping of a file with this header is remembered")
    columns: list[PreviewColumn]
    rows: list[list[str | None]]
    takes: list[str] = Field(description="Columns of the dataset that a file may have")
    needs: list[str] = Field(description="Columns of the dataset that a file must have")
    takes_others: bool = Field(description="The dataset keeps other columns too, under their names")


class UploadAsked(BaseModel):
    """A new multipart upload. ``metadata`` is Uppy's: the dataset and the options of the upload; other members are ignored."""

    filename: str = Field(description="Name of the file")
    type: str | None = Field(None, description="Its media type; ignored")
    metadata: dict[str, Any] = Field(
        description="dataset; dry_run, on_error, max_errors, max_error_ratio, delimiter, force, mapping, notify; size if known"
    )

    @property
    def dataset(self) -> str:
        """Return the name of the dataset."""
        return str(self.metadata.get("dataset") or "")

    @property
    def size_bytes(self) -> int:
        """Return the size that the client announced; 0 if it announced none."""
        said = self.metadata.get("size")
        return said if isinstance(said, int) else 0

    @property
    def options(self) -> Options:
        """Return the options of the upload. Raises ValidationError."""
        return _options_among(self.metadata)


class FormQuery(BaseModel):
    filename: str = Field(description="Name of the file")
    type: str | None = Field(None, description="Its media type; ignored")
    dataset: str = Field("", description="Name of the dataset; also as metadata[dataset]")


def options_of_form(given: Mapping[str, str]) -> Options:
    """Return the options in the query of a form's request, such as ``metadata[dry_run]=true``. Raises ValidationError."""
    return _options_among({name[9:-1]: value for name, value in given.items() if name.startswith("metadata[")})


class UploadPath(BaseModel):
    upload_id: str = Field(description="The uploadId from the response that opened the upload")


class PartPath(UploadPath):
    part_number: int = Field(ge=1, le=10_000)


class UploadKey(Given):
    key: str = Field(description="The key from the response that opened the upload")


class PartsQuery(UploadKey):
    partNumbers: str = Field(  # noqa: N815 - Uppy's name
        pattern=r"^[0-9]{1,5}(,[0-9]{1,5})*$", max_length=5_000, description="Numbers of parts, separated by commas"
    )

    @property
    def numbers(self) -> list[int]:
        """Return the numbers that S3 allows."""
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
    id: str = Field(description="ID of the import")
    links: UploadLinks


class StoredPart(BaseModel):
    PartNumber: int
    Size: int
    ETag: str


class StoredParts(RootModel[list[StoredPart]]):
    """The stored parts, in order."""


class SignedPart(BaseModel):
    url: str
    expires: int = Field(description="Seconds until the URL expires")


class SignedParts(BaseModel):
    presignedUrls: dict[str, str]  # noqa: N815


class WholeUpload(BaseModel):
    location: str = Field(description="URL of the import")
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
