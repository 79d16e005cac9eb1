"""Define the models of datasets' definitions: proposals from a file, versions, changes."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field, model_validator

from web.models.common import Given


class DefinedColumn(Given):
    """A column of a dataset with its rules."""

    name: str = Field(min_length=1, max_length=63, description="Its name in the table")
    headers: list[str] = Field(default_factory=list, description="Other names that files give it")
    type: str = Field(
        "text",
        description="text, varchar(n), integer, bigint, numeric, numeric(p,s), boolean, date, timestamp, timestamptz, ...",
    )
    required: bool = Field(False, description="Whether every record needs a value")
    unique: bool = Field(False, description="Whether no two records of a file may have the same value")
    values: list[str] | None = Field(None, description="The only values allowed; null: any")
    max_length: int | None = Field(None, ge=1, description="The most characters of a value; null: any number")
    format: str | None = Field(None, description="How files write a date, such as DD.MM.YYYY; null: 2026-01-31")
    warn: list[Literal["required", "unique", "values", "max_length"]] = Field(
        default_factory=list, description="Rules whose breach is a warning, not an error"
    )
    search: bool = Field(False, description="Whether records are found by the beginning of this text; an index holds it")


class DefinitionJson(Given):
    """A dataset: its key, its parent column, its columns with their rules."""

    name: str = Field(description="Lower-case letters, digits and underscores; begins with a letter")
    title: str = Field("", max_length=200, description="The name that people use")
    key: str = Field(description="The column whose values are the IDs; its type is text")
    parent: str | None = Field(None, description="The column with the ID of the parent; null: files have none")
    columns: list[DefinedColumn] = Field(min_length=1, max_length=1000)
    shape: dict[str, Any] = Field(
        default_factory=dict, description="How the hierarchy is written, where no column has the parent"
    )
    clean: dict[str, Any] = Field(default_factory=dict, description="Rules that clean values, as in an upload's option clean")
    other_meta: dict[str, Any] = Field(default_factory=dict, description="The rest of the suite's meta, kept as it is")
    other_rules: list[dict[str, Any]] = Field(
        default_factory=list, description="The suite's other expectations, kept as they are"
    )


class DefinitionFiles(Given):
    """The two files of a dataset, as they are in a checkout."""

    suite: str = Field(description="expectations/<name>.json")
    table: str = Field(description="sql/tables/<name>.sql")


class DefinitionBody(Given):
    """A definition, or the two files."""

    name: str | None = Field(None, description="The dataset's name, where the two files are sent")
    definition: DefinitionJson | None = None
    files: DefinitionFiles | None = None

    @model_validator(mode="after")
    def _is_one(self) -> DefinitionBody:
        if (self.definition is None) == (self.files is None):
            raise ValueError("send either definition or files")
        return self


class ProposeQuery(Given):
    name: str = Field("", max_length=63, description="The dataset's name; default: made from the name of the file")
    filename: str = Field("", max_length=255, description="The file's name, whose extension tells the format")


class Refused(BaseModel):
    """What one choice would refuse in this very file."""

    records: int = Field(description="Records that the choice would refuse, or warn of")
    rows: list[int] = Field(description="The first rows, at most ten, numbered as findings number them")
    values: list[str] = Field(description="The values there")
    sentence: str = Field(description="The same in words: would refuse 3 records: rows 4, 9, 17")


class ProposedColumn(BaseModel):
    """What was seen in a column of the file, and what each choice for it would refuse."""

    name: str
    header: str = Field(description="The file's name of the column; empty: the file has none such")
    samples: list[str]
    filled: int = Field(description="Records with a value")
    empty: int
    distinct: int
    longest: int = Field(description="Characters of the longest value")
    reason: str = Field(description="Why the type and the role were chosen")
    types: list[str] = Field(description="Types that take every value of the column, the narrowest first")
    few: list[str] | None = Field(description="All different values, if they are few and repeated")
    refuses: dict[str, Refused] = Field(
        description="By choice (type, required, unique, values, max_length, key, parent): those of the definition only"
    )


class Proposal(BaseModel):
    """A dataset as a file suggests it."""

    name: str
    definition: DefinitionJson
    files: DefinitionFiles
    records: int
    format: str
    columns: list[ProposedColumn]
    refused: int = Field(description="Records of this file that the definition would refuse")
    problem: str = Field(description="Why the definition cannot be created or the file not be read with it; empty: it can")
    notes: list[str] = Field(description="What a person should know or decide")
    exists: bool = Field(description="Whether the name is taken")


class VersionQuery(Given):
    version: int | None = Field(None, ge=1, description="An earlier version; default: the one in use")
    format: Literal["json", "suite", "table"] = Field("json", description="json: all of it; suite, table: that file alone")


class DefinitionVersion(BaseModel):
    version: int
    created_by: str
    created_at: str | None


class DefinitionAnswer(BaseModel):
    """A dataset's definition, as JSON and as the two files."""

    name: str
    version: int | None = Field(description="null: it is defined by files in the checkout, and changed there")
    in_files: bool
    title: str
    created_by: str
    created_at: str | None
    definition: DefinitionJson
    files: DefinitionFiles
    versions: list[DefinitionVersion] = Field(description="All versions, newest first")


class ChangeQuery(Given):
    dry_run: bool = Field(False, description="Say what the change means for the loaded records, and change nothing")


class LoadedRecords(BaseModel):
    """What the new rules say of the records that are loaded: an audit."""

    records: int
    errors: int
    warnings: int
    invalid: int
    codes: list[dict[str, Any]]
    rules: list[dict[str, Any]]


class ChangeAnswer(BaseModel):
    """What a change did, or would do."""

    version: int = Field(description="The version in use now")
    changed: bool
    changes: list[str] = Field(description="In words: column stock added")
    dry_run: bool
    loaded: LoadedRecords | None = Field(description="What the rules say of the loaded records; null: not a dry run")
    definition: DefinitionJson
    files: DefinitionFiles


class DropQuery(Given):
    confirm: str = Field("", description="The dataset's name, once more")


class DropAnswer(BaseModel):
    name: str
    records: int
    dump: str = Field(description="Where the dump is in the bucket")
    kept_until: str | None = Field(description="null: for ever")
