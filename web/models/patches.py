"""Define the models of patches: edits of a file's cells."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field, model_validator

from web.models.common import Given, PageQuery
from web.models.imports import Creator

CHANGES_MAX = 10_000
VALUE_CHARACTERS_MAX = 65_536


class PatchQuery(PageQuery):
    limit: int = Field(100, ge=1, le=1000, description="Maximum number of edits on the page")
    first_row: int | None = Field(None, ge=1, description="Only edits of this row and those after it")
    last_row: int | None = Field(None, ge=1, description="Only edits of this row and those before it")


class CellGiven(Given):
    row: int = Field(ge=1, description="Number of the record, as findings have it")
    column: str = Field(min_length=1, description="Name of the column, as findings have it, or as the file calls it")


class EditGiven(CellGiven):
    new: str | None = Field(max_length=VALUE_CHARACTERS_MAX, description="The new value; null or an empty text: no value")
    old: str | None = Field(None, description="The value that is to be replaced. If the findings know another one, it is a 409")


class LikeGiven(Given):
    """What to do to every row that has the same finding: exactly one of new, skip and root."""

    code: str
    column: str | None = None
    value: str | None = Field(None, description="The value, as the findings quote it")
    new: str | None = Field(None, max_length=VALUE_CHARACTERS_MAX, description="The new value of the column")
    skip: bool = Field(False, description="Leave the rows out")
    root: bool = Field(False, description="Make roots of the records")

    @model_validator(mode="after")
    def _is_one_thing(self) -> LikeGiven:
        if ("new" in self.model_fields_set) + self.skip + self.root != 1:
            raise ValueError("give exactly one of new, skip and root")
        if "new" in self.model_fields_set and self.column is None:
            raise ValueError("a new value needs the column")
        return self


class PatchBody(Given):
    """Changes of a patch. They are made together or not at all."""

    edits: list[EditGiven] = Field([], max_length=CHANGES_MAX)
    undo: list[CellGiven] = Field([], max_length=CHANGES_MAX, description="Cells whose edits are taken back, a root's too")
    skip_rows: list[int] = Field([], max_length=CHANGES_MAX, description="Rows to leave out")
    unskip_rows: list[int] = Field([], max_length=CHANGES_MAX, description="Rows that are not to be left out after all")
    roots: list[int] = Field([], max_length=CHANGES_MAX, description="Rows of records to make roots: their parent is emptied")
    like: LikeGiven | None = None


class EditModel(BaseModel):
    """One edit. Values of personal columns are masked for a key that may not see them."""

    row: int
    column: str | None = Field(description="null: the whole row is left out")
    kind: Literal["edit", "skip", "root"]
    old: str | None = Field(description="The value in the file, if the findings or the client said it")
    new: str | None
    by: Creator
    at: str
    version: int = Field(description="The version of the patch that it came with")


class PatchModel(BaseModel):
    """A version of an import's edits, as counts."""

    import_id: str
    version: int = Field(description="0: there are no edits yet")
    edits: int = Field(description="Cells with a new value, roots included")
    skipped_rows: int
    roots: int
    changed: int = Field(description="How many cells and rows this request has changed")


class PatchPage(BaseModel):
    """The edits of an import's file, in the order of rows and columns."""

    import_id: str
    version: int
    edits: int
    skipped_rows: int
    roots: int
    items: list[EditModel]
    next_cursor: str | None
