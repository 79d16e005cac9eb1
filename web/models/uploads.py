"""Define the models of uploads: options, previews, and multipart uploads by presigned URLs, as Uppy's companion has them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Field, RootModel, TypeAdapter, ValidationError

from pipeline import option_texts
from pipeline.contracts.options import OnError, Options
from pipeline.errors import InvalidRequest
from pipeline.notify import targets
from web.models.common import Given

_MAPPING = TypeAdapter(dict[str, str])


def is_mapping(text: str) -> str:
    """Return the text if it is a JSON object of texts. Raises ValueError."""
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


def _checked(name: str) -> AfterValidator:
    """Return the validator of an option of reading, which is a text here."""

    def check(text: str) -> str:
        try:
            option_texts.PARSERS[name](text)
        except InvalidRequest as error:
            raise ValueError(str(error)) from None
        return text

    return AfterValidator(check)


class ReadQuery(Given):
    """How to read a file, where that is not as detected."""

    filename: str | None = Field(None, description="Name of the file")
    delimiter: Annotated[str, _checked("delimiter")] | None = Field(
        None,
        min_length=1,
        description="comma, semicolon, tab, pipe, space, spaces (two or more), or 1 to 8 characters. Default: detected",
        json_schema_extra={"example": "comma"},
    )
    quote: Annotated[str, _checked("quote")] | None = Field(
        None,
        min_length=1,
        description="Quote character of a delimited text: double, single, one character, or none if quotes are data",
        json_schema_extra={"example": "double"},
    )
    encoding: Annotated[str, _checked("encoding")] | None = Field(
        None,
        min_length=1,
        description="Encoding of a text; default: UTF-8, or UTF-16 by its mark",
        json_schema_extra={"example": "utf-8"},
    )
    header_row: int | None = Field(
        None,
        ge=1,
        le=999_999_999,
        description="Number of the line, or of the sheet's row, with the columns' names",
        json_schema_extra={"example": 1},
    )
    sheet: str | None = Field(
        None,
        min_length=1,
        description="Name of a workbook's sheet; default: the first that fits",
        json_schema_extra={"example": "Data"},
    )
    records_at: str | None = Field(
        None,
        min_length=1,
        description="Where a JSON document has its records: keys with dots",
        json_schema_extra={"example": "data.items"},
    )
    merged: Literal["fill"] | None = Field(
        None,
        description="Merged cells of a workbook: fill writes their value into each of them",
        json_schema_extra={"example": "fill"},
    )
    repeated_columns: Literal["number", "list"] | None = Field(
        None,
        description="Columns with the same name: number them, or keep their values as one list",
        json_schema_extra={"example": "list"},
    )
    no_parent_values: Annotated[str, _checked("no_parent_values")] | None = Field(
        None,
        description="Values of the parent column that mean no parent: separated by commas, or a JSON list",
        json_schema_extra={"example": "0,NULL"},
    )
    parent_by: str | None = Field(
        None,
        min_length=1,
        description="Column whose value the parent column gives, instead of an ID; id,name: an ID of the file, or else a name; "
        "name > name: the path of names from a root, with any characters between them",
        json_schema_extra={"example": "name > name"},
    )
    shape: Annotated[str, _checked("shape")] | None = Field(
        None,
        description="A JSON object: how the hierarchy is written, if not by id and parentId",
        json_schema_extra={"example": option_texts.SHAPE_EXAMPLE},
    )
    clean: Annotated[str, _checked("clean")] | None = Field(
        None,
        description="A JSON object: rules that change values before they are checked",
        json_schema_extra={"example": option_texts.CLEAN_EXAMPLE},
    )

    @property
    def reading(self) -> dict[str, Any]:
        """Return the options of reading that are set."""
        given = {name: getattr(self, name) for name in option_texts.PARSERS}
        return option_texts.parsed({name: None if value is None else str(value) for name, value in given.items()})


class UploadQuery(ReadQuery):
    dry_run: bool = Field(False, description="Only validate, and report what a load would do; promote then loads it")
    on_error: OnError | None = Field(
        None,
        description="Reject a file with errors, or quarantine bad records and their descendants; default: the dataset's rule",
    )
    max_errors: int | None = Field(
        None, ge=0, description="Maximum number of records with errors to quarantine; above it, the file is rejected"
    )
    max_error_ratio: float | None = Field(None, ge=0, le=1, description="The same as a share of all records, from 0 to 1")
    force: bool = Field(
        False, description="Import again even if this content was already imported; otherwise it is a duplicate"
    )
    mapping: Annotated[str, AfterValidator(is_mapping)] | None = Field(
        None,
        description="A JSON object from columns of the file to columns of the dataset; an empty text skips the column",
    )
    notify: Annotated[str, AfterValidator(_are_addresses)] | None = Field(
        None,
        description="Also notify these recipients when it ends: e-mail addresses and http(s) URLs, separated by commas",
    )

    retry_of: str | None = Field(
        None, description="ID of the import that this file corrects; its mapping and options apply where the request has none"
    )

    @property
    def options(self) -> Options:
        """Return the options of the upload."""
        asked = self.model_dump(exclude={"filename", "mapping", "notify", "retry_of", *option_texts.PARSERS})
        mapping, notify = json.loads(self.mapping or "{}"), targets.listed(self.notify or "")
        return Options(**asked, **self.reading, mapping=mapping, notify=notify)


class TemplateQuery(Given):
    format: Literal["csv", "xlsx"] = Field("csv", description="CSV text or an Excel workbook")


class MappingBody(Given):
    columns: list[str] = Field(min_length=1, max_length=1000, description="All columns of the file, as named in its header")
    mapping: dict[str, str] = Field(
        description="From columns of the file to columns of the dataset; an empty text skips the column"
    )
    filename: str = Field("", description="Name of the file; it is compared without digits")
    options: dict[str, Any] = Field({}, description="Options of reading: delimiter, header_row, clean, ...")


class UploadAsked(BaseModel):
    """A new multipart upload. ``metadata`` is Uppy's: the dataset and the options of the upload; other members are ignored."""

    filename: str = Field(description="Name of the file")
    type: str | None = Field(None, description="Its media type; ignored")
    metadata: dict[str, Any] = Field(
        description="dataset; all options of an upload, such as dry_run, on_error, delimiter, mapping, notify; size if known"
    )

    @property
    def dataset(self) -> str:
        """Return the name of the dataset."""
        return str(self.metadata.get("dataset") or "")

    @property
    def retry_of(self) -> str | None:
        """Return the import that the file corrects, if it is said."""
        return str(self.metadata.get("retry_of") or "") or None

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
    for name in ("shape", "clean", "no_parent_values"):
        if isinstance(value := asked.get(name), dict | list):
            asked[name] = json.dumps(value)
    if isinstance(notify := asked.get("notify"), list):
        asked["notify"] = ",".join(map(str, notify))
    return UploadQuery.model_validate(asked).options
