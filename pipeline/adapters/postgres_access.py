"""How a PostgreSQL server is reached beside its URL: what a pooler before it keeps, and tokens in place of a password."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import URL, make_url

from pipeline.adapters.rds_tokens import RdsTokens
from pipeline.settings import Settings

OLDEST_MAJOR = 15
"""The oldest major version of PostgreSQL that Bulkhead runs on; the tests run on it and on the newest."""


@dataclass(frozen=True)
class DatabaseAccess:
    """A URL of PostgreSQL. ``pooled``: a pooler gives a client a session for one transaction only. ``tokens`` replace the
    password, if there are any."""

    url: str
    pooled: bool = False
    tokens: RdsTokens | None = None

    @property
    def parsed(self) -> URL:
        """The URL as SQLAlchemy's psycopg dialect takes it."""
        return make_url(self.url).set(drivername="postgresql+psycopg")

    @property
    def conninfo(self) -> str:
        """The URL as libpq takes it."""
        return self.parsed.set(drivername="postgresql").render_as_string(hide_password=False)

    def at(self, url: str) -> DatabaseAccess:
        """Return the same access to another URL."""
        return replace(self, url=url)

    def secret(self) -> dict[str, Any]:
        """Return the password for a connection that is made now, if it is not in the URL. Raises SystemFault."""
        if self.tokens is None:
            return {}
        url = self.parsed
        return {"password": self.tokens.token(url.host or "", url.port or 5432, url.username or "")}

    def with_secret(self) -> str:
        """Return the URL with the password for a connection that is made now, for programs of PostgreSQL."""
        password = self.secret().get("password")
        url = self.parsed.set(password=password) if password else self.parsed
        return url.render_as_string(hide_password=False)

    def log_in_again(self) -> None:
        """Have the next connection take a new token: the server did not accept the last one."""
        if self.tokens is not None:
            self.tokens.forget()


def as_access(to: str | DatabaseAccess) -> DatabaseAccess:
    """Return a plain URL as an access that has nothing beside it."""
    return DatabaseAccess(to) if isinstance(to, str) else to


def to_database(settings: Settings) -> DatabaseAccess:
    """Return the access to DATABASE_URL."""
    return _access(settings, settings.database_url)


def to_replica(settings: Settings) -> DatabaseAccess:
    """Return the access for heavy reads: to DATABASE_READ_URL if it is set."""
    return _access(settings, settings.read_url)


def to_owner(settings: Settings) -> DatabaseAccess | None:
    """Return the access of the role that owns the ledger; None if that is the application's."""
    return _access(settings, settings.migration_database_url) if settings.migration_database_url else None


def _access(settings: Settings, url: str) -> DatabaseAccess:
    tokens = None
    if settings.database_iam:
        keys = (settings.s3_access_key, settings.s3_secret_key, settings.s3_session_token)
        tokens = RdsTokens(settings.s3_region, *(key or None for key in keys))
    return DatabaseAccess(url, pooled=settings.database_pooler == "transaction", tokens=tokens)
