"""Define the models of records, datasets and SQL queries."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field, RootModel

from web.models.common import DatasetPath, Given, PageQuery


class RecordPath(DatasetPath):
    record_id: str = Field(description="ID of a record; encode a slash in it as %2F")


class KinQuery(PageQuery):
    counts: bool = Field(False, description="Add the number of children of each record, as _children")
    counts_max: int | None = Field(
        None, ge=1, description="Stop counting the children of a record at this number; a count that reaches it may be higher"
    )


class RecordsQuery(KinQuery):
    parentId: str | None = Field(None, description="Only the children of this record")  # noqa: N815 - as the files say
    root: bool = Field(False, description="Only records without a parent")
    id: str | None = Field(None, description="Only this record, for IDs that a path cannot have, such as '..'")
    search: str | None = Field(
        None,
        max_length=500,
        description="Only records that begin with this text in one of their columns, in any case; each names it as _matched",
    )
    format: Literal["csv", "json", "ndjson", "parquet", "arrow"] | None = Field(
        None, description="All records as one file with the dataset's columns, instead of a page"
    )


class DescendantsQuery(KinQuery):
    max_depth: int = Field(1000, ge=1, le=1000, description="Levels below the record")


class QueryQuery(Given):
    format: Literal["json", "csv", "parquet", "arrow", "xlsx"] = Field("json", description="Format of the result")


class QueryBody(Given):
    sql: str = Field(description="One SELECT over the tables of the schema warehouse")
    limit: int | None = Field(None, ge=1, description="Maximum number of rows")


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
    refreshed_at: str | None = Field(
        description="It has all records loaded before this time; null: not refreshed since it was created"
    )
    error: str = Field(description="Why the last refresh failed; empty if it did not")


class DatasetModel(BaseModel):
    name: str
    title: str
    key: str
    parent: str
    rest: str | None = Field(description="The column for values without a column of their own; null: there is none")
    personal: list[str] = Field(description="Columns with personal data, whose values are masked unless the key may unmask")
    columns: list[ColumnModel]
    marts: list[MartModel]


class NumbersModel(BaseModel):
    """What a dataset holds, as of its last count."""

    dataset: str
    records: int | None = Field(description="Records; null: not counted yet")
    roots: int | None = Field(description="Records without a parent")
    depth: int | None = Field(description="Depth of the deepest record; a root has 0. Null: there are no records")
    unreachable: int | None = Field(description="Records that no way from a root leads to: another client has broken the tree")
    counted_at: str | None = Field(description="The numbers have all that was loaded before this time")
    is_current: bool = Field(description="Nothing was loaded since")
    problems: int = Field(description="Errors of the last audit, errors of the last import, and unreachable records")
    audit: dict[str, Any] | None = Field(description="The last audit that succeeded: id, errors, warnings, finished_at")
    last_import: dict[str, Any] | None = Field(description="The last import that ended: id, state, errors, finished_at")
    search: list[str] = Field(description="The columns that a search looks into, as far as this key may see them")


class DatasetList(BaseModel):
    items: list[DatasetModel]
    next_cursor: None


class RecordModel(RootModel[dict[str, Any]]):
    """A record with all its columns and its lineage: _import_id, _row and _loaded_at."""
