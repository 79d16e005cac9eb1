"""The settings of PostgreSQL: where it is, what is between it and us, and how a connection proves who it is."""

from __future__ import annotations

from typing import Literal
from urllib.parse import unquote

from pydantic import AliasChoices, Field, field_validator

from pipeline.setting_sources import SourcedSettings
from pipeline.setting_types import DATABASE_URL, Secret


def _named(name: str) -> AliasChoices:
    return AliasChoices(name)


class DatabaseSettings(SourcedSettings):
    """A part of Settings. The URLs take all parameters of libpq (sslmode, sslrootcert, sslcert, sslkey, ...)."""

    database_url: Secret = Field(default="", validation_alias=_named("DATABASE_URL"))
    database_read_url: Secret = Field(default="", validation_alias=_named("DATABASE_READ_URL"))
    database_sql_url: Secret = Field(default="", validation_alias=_named("BULKHEAD_SQL_URL"))
    migration_database_url: Secret = Field(default="", validation_alias=_named("BULKHEAD_MIGRATION_DATABASE_URL"))
    database_pooler: Literal["session", "transaction"] = Field(
        default="session", validation_alias=_named("BULKHEAD_DATABASE_POOLER")
    )
    connect_address: str = Field(
        default="",
        pattern=r"^(off|(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?(/[A-Za-z0-9._-]+)?)?$",
        validation_alias=_named("BULKHEAD_CONNECT_ADDRESS"),
    )
    database_iam: Literal["", "aws"] = Field(default="", validation_alias=_named("BULKHEAD_DATABASE_IAM"))

    @field_validator("database_url", "database_read_url", "database_sql_url", "migration_database_url")
    @classmethod
    def _of_postgresql(cls, value: str) -> str:
        """Refuse another URL, with a message that does not repeat the value: it contains a password."""
        if value and not DATABASE_URL.fullmatch(value):
            raise ValueError("it is not of the form postgresql://user:password@host:5432/database")
        return value

    @property
    def read_url(self) -> str:
        """Return the URL for heavy reads: the replica's if there is one."""
        return self.database_read_url or self.database_url


def database_part(url: str, *names: str) -> str:
    """Return the first of these parts of a database's URL that is not empty, else an empty string."""
    found = DATABASE_URL.fullmatch(url)
    return next((unquote(found[name]) for name in names if found[name]), "") if found else ""


def database_port(url: str) -> int:
    """Return the port of a database's URL, PostgreSQL's own if it names none."""
    return int(database_part(url, "port") or 5432)


def database_urls(settings: DatabaseSettings) -> dict[str, str]:
    """Return the URLs of databases that are set, by the names of their settings."""
    urls = {
        "DATABASE_URL": settings.database_url,
        "DATABASE_READ_URL": settings.database_read_url,
        "BULKHEAD_SQL_URL": settings.database_sql_url,
        "BULKHEAD_MIGRATION_DATABASE_URL": settings.migration_database_url,
    }
    return {name: url for name, url in urls.items() if url}
