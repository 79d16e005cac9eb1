"""Models of uploads: options, previews, presigned multipart uploads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Field, RootModel, TypeAdapter, ValidationError

from pipeline.contracts.options import DELIMITER_NAMES, OnError, Options
from pipeline.errors import InvalidRequest
from pipeline.notify import targets
from web.models.common import Given

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
    except InvalidRequest as error:
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
