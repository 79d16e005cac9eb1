"""Define the models of logins to the database."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from pipeline.database_logins import LABEL_CHARACTERS_MAX, LONGEST
from web.models.common import Given


class DatabaseLoginPath(BaseModel):
    login_id: str = Field(description="ID of a login to the database; GET /v1/database-logins lists all")


class DatabaseLoginBody(Given):
    label: str = Field(min_length=1, max_length=LABEL_CHARACTERS_MAX, description="The program that the login is for")
    days: int | None = Field(
        None, ge=1, le=LONGEST.days, description="How many days it works, 30 at most for a person; null: as long as it may"
    )


class DatabaseLoginOwner(BaseModel):
    kind: Literal["key", "user"] = Field(description="An API key, or a person who signed in by single sign-on")
    id: str
    name: str


class DatabaseLoginModel(BaseModel):
    id: str
    user: str = Field(description="The name to log in with")
    label: str
    owner: DatabaseLoginOwner
    datasets: list[str] | None = Field(description="Datasets that it reads; null: all")
    created_at: str
    expires_at: str = Field(description="From then on PostgreSQL refuses it, and its sessions end")
    revoked_at: str | None
    revoked_because: str


class MadeDatabaseLogin(DatabaseLoginModel):
    password: str = Field(description="The password. It is shown only in this response")
    host: str = Field(description="Where PostgreSQL is reached; empty if it is not by TCP")
    port: int
    database: str
    url: str = Field(description="The address with user and password, as psql and libraries take it")


class DatabaseLoginList(BaseModel):
    items: list[DatabaseLoginModel]
    next_cursor: None
