"""What models of all subjects share: strict bases, path parameters, pages."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Given(BaseModel):
    """A parameter that we do not know is more likely a slip than of no matter."""

    model_config = ConfigDict(extra="forbid")


class DatasetPath(BaseModel):
    dataset: str = Field(description="Name of a dataset; GET /v1/datasets lists them")


class ImportPath(BaseModel):
    import_id: str = Field(description="Id of an import")


class PageQuery(Given):
    limit: int = Field(100, ge=1, le=1000, description="Items on a page")
    cursor: str | None = Field(None, description="next_cursor of the page before")


class Nothing(BaseModel):
    """An empty object."""
