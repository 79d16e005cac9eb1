"""Define what the models of all subjects share: strict bases, path parameters, pages."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Given(BaseModel):
    """The base of what clients send. An unknown parameter is an error: it is most likely a misspelled one."""

    model_config = ConfigDict(extra="forbid")


class DatasetPath(BaseModel):
    dataset: str = Field(description="Name of a dataset; GET /v1/datasets lists all")


class ImportPath(BaseModel):
    import_id: str = Field(description="ID of an import")


class PageQuery(Given):
    limit: int = Field(100, ge=1, le=1000, description="Maximum number of items on the page")
    cursor: str | None = Field(None, description="The next_cursor of the page before (keyset pagination)")


class Nothing(BaseModel):
    """An empty object."""
