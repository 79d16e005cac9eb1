"""Define the models of previews: what a file is before it is uploaded, and what its columns would become."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Field

from pipeline.contracts.options import ReadOptions
from web.models.uploads import ReadQuery, is_mapping


class PreviewQuery(ReadQuery):
    whole: bool = Field(False, description="The body is the whole file, not only its beginning")
    mapping: Annotated[str, AfterValidator(is_mapping)] | None = Field(
        None,
        description="A JSON object from columns of the file to columns of the dataset; an empty text skips the column."
        " Other columns are as suggested",
    )

    @property
    def options(self) -> ReadOptions:
        """Return how to read the file, without the mapping of its columns."""
        return ReadOptions(**self.reading)

    @property
    def given_mapping(self) -> dict[str, str]:
        """Return the mapping of the request."""
        found: dict[str, str] = json.loads(self.mapping or "{}")
        return found


class AnyPreviewQuery(PreviewQuery):
    dataset: str | None = Field(
        None, min_length=1, description="The dataset to preview it for; default: the one that fits best"
    )


class PreviewColumn(BaseModel):
    name: str
    becomes: str | None = Field(description="Column that an import would read it as; null: the file would be rejected")
    suggested: str | None = Field(description="Suggested column of the dataset; an empty text: skip it")
    suggested_by: Literal["header", "synonym", "content", "remembered", "similar"] | None = Field(
        description="header: its name is the column's; synonym: a word for it; content: its values; similar: a similar name;"
        " remembered: the last file with this header"
    )
    reason: str = Field(description="Why, as a sentence; empty if nothing is suggested")
    samples: list[str] = Field(description="Some of its values, each once")
    why: Literal["", "remembered", "similar"] = Field(description="The suggestion differs from becomes, and why")


class PreviewNode(BaseModel):
    """A record of the tree."""

    level: int = Field(description="1 for a root")
    id: str
    name: str | None
    children: int = Field(description="How many children it has in what was read")


class PreviewMisfit(BaseModel):
    """A record that does not fit into the tree."""

    kind: Literal["missing_parent", "duplicate_id", "missing_id", "cycle"]
    sentence: str
    value: str
    row: int | None = Field(description="Row of the sheet, line of the text, or number of the record")
    cell: str = Field(description="What a spreadsheet calls the cell, such as C7; empty if the format has none")


class PreviewTree(BaseModel):
    """The tree that the suggested mapping, or a shape, makes of what was read: its size, and the first nodes."""

    records: int
    generated: int = Field(description="Of the records, those that the file implies and does not list")
    roots: int
    levels: int
    children_most: int = Field(description="The most children that one record has")
    nodes: list[PreviewNode] = Field(description="The first roots, each with its first children")
    label: str = Field(description="Column whose values are the names of the nodes; empty if there is none")
    problem: str = Field(description="Why there is no tree, or the first error in it; empty if there is none")
    misfits: list[PreviewMisfit] = Field(description="The first records that do not fit into it")
    misfits_total: int


class PreviewOffer(BaseModel):
    """An option of the upload that probably helps."""

    option: str = Field(description="Name of the option, as an upload takes it")
    value: Any = Field(description="Its value; an object (mapping, clean) is added to what is set already")
    sentence: str = Field(description="What it does, and why it is offered")
    applies_to: Literal["file", "rows", "columns"]
    rows: list[int] = Field(description="Rows of the file that it is about")
    columns: list[str] = Field(description="Columns of the file that it is about")
    is_used: bool = Field(description="The preview was read with it already: an upload should be too")


class PreviewRefusal(BaseModel):
    """A reason why the file would certainly be rejected."""

    code: str
    sentence: str
    hint: str = Field(description="What to do")
    row: int | None = Field(description="Row of the sheet, line of the text, or number of the record; null: the whole file")
    column: str | None
    cell: str = Field(description="What a spreadsheet calls the cell, such as C7; empty if there is none")


class PreviewRow(BaseModel):
    """A row as it is in the file."""

    row: int = Field(description="Its number from 1: the value of header_row")
    cells: list[str]


class DatasetFit(BaseModel):
    """How well a file fits to a dataset."""

    dataset: str
    title: str
    fits: float = Field(description="Required columns that are matched, as a share of all of them, from 0 to 1")
    matched: int = Field(description="Required columns that are matched")
    required: int
    missing: list[str] = Field(description="Required columns that are not matched")
    columns: int = Field(description="Columns of the dataset that are matched, required or not")
    unknown: int = Field(description="Columns of the file that the dataset has no place for")
    unfit: list[str] = Field(description="Columns of the file whose values the dataset would mostly refuse")
    reason: str = Field(description="A sentence")
    last_used: str | None = Field(description="When a file with this header was last mapped for it; null: never")


class PreviewAnswer(BaseModel):
    """The beginning of a file. delimiter and sheet are empty if the format has none."""

    dataset: str | None = Field(description="The dataset that columns, takes and needs are about; null: none fits")
    new_dataset: bool = Field(description="No dataset fits: the file needs a new one")
    datasets: list[DatasetFit] = Field(description="The datasets of the key, or the one of the path, the best one first")
    format: str
    compression: str
    encoding: str
    delimiter: str
    sheet: str
    sheets: list[str] = Field(description="Names of a workbook's visible sheets that are not empty")
    header_row: int | None = Field(description="Row or line with the columns' names; null if the format has none")
    first_rows: list[PreviewRow] = Field(description="The first rows as they are in the file, the header among them")
    members: int = Field(description="Number of files in the archive; the first one is shown")
    text: str = Field(description="Format, delimiter, encoding and compression as text: CSV, comma, UTF-8")
    options: dict[str, Any] = Field(
        description="Options that it was read with: those of the request, remembered ones, or ones that were recognised"
    )
    options_remembered: bool = Field(description="The options are those of the last file with such a name or these columns")
    remembered: bool = Field(description="The mapping of a file with this header is remembered")
    records: int = Field(description="Number of records in what was read")
    is_whole: bool = Field(description="All of the file was read; otherwise counts are those of its beginning")
    columns: list[PreviewColumn]
    rows: list[list[str | None]]
    takes: list[str] = Field(description="Columns of the dataset that a file may have")
    needs: list[str] = Field(description="Columns of the dataset that a file must have")
    tree: PreviewTree | None = Field(description="The tree of what was read; null: no column is the id, or the parent")
    takes_others: bool = Field(description="The dataset keeps other columns too, under their names")
    offers: list[PreviewOffer] = Field(description="Options that probably help, each one click")
    would_reject: list[PreviewRefusal] = Field(description="Why it would certainly be rejected; empty if that is not certain")
