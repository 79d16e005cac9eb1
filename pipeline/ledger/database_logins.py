"""The rows of logins to the database: which role in PostgreSQL was made for which key or person, and until when it works."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection

from pipeline.ledger.statements import execute

LIVE_MAX = 10
"""How many logins an owner may have at a time: one for each program, and some to spare."""

LISTED_MAX = 500


@dataclass(frozen=True)
class Owner:
    """Who a login is for: a key or a person (``kind`` user), and what it may see. ``datasets`` None: all."""

    kind: str
    id: str
    name: str
    datasets: tuple[str, ...] | None
    unmask: bool
    expires_at: datetime | None = None


@dataclass(frozen=True)
class Rights:
    """What the owner of a login may see now; ``works``: whether the owner itself may still sign in."""

    datasets: tuple[str, ...] | None
    unmask: bool
    works: bool


@dataclass(frozen=True)
class DatabaseLogin:
    """A login to the database, without its password, of which PostgreSQL has a verifier only."""

    id: str
    role: str
    reader: str
    label: str
    owner_kind: str
    owner_id: str
    owner_name: str
    datasets: tuple[str, ...] | None
    unmask: bool
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None = None
    revoked_because: str = ""

    @property
    def is_live(self) -> bool:
        """Return whether it works now."""
        return self.revoked_at is None and self.expires_at > datetime.now(UTC)

    def to_json(self) -> dict[str, Any]:
        """Return the login as the API shows it."""
        return {
            "id": self.id,
            "user": self.role,
            "label": self.label,
            "owner": {"kind": self.owner_kind, "id": self.owner_id, "name": self.owner_name},
            "datasets": None if self.datasets is None else list(self.datasets),
            "created_at": self.created_at.isoformat(),
            "expires_at": self.expires_at.isoformat(),
            "revoked_at": self.revoked_at.isoformat() if self.revoked_at else None,
            "revoked_because": self.revoked_because,
        }


def add(connection: Connection, login_id: uuid.UUID, owner: Owner, **given: Any) -> DatabaseLogin | None:
    """Note a login; return None if its owner has LIVE_MAX already. ``given``: role, reader, label and expires_at."""
    by = {"owner_kind": owner.kind, "owner_id": uuid.UUID(owner.id), "owner_name": owner.name}
    scope = {"datasets": None if owner.datasets is None else list(owner.datasets), "unmask": owner.unmask}
    return _first(connection, "add", id=login_id, **by, **scope, **given, most=LIVE_MAX)


def listed(connection: Connection, owner_id: str | None) -> Sequence[DatabaseLogin]:
    """Return the newest LISTED_MAX logins of an owner, or of all (None), also revoked ones, newest first."""
    return _all(connection, owner_id, only_live=False, most=LISTED_MAX)


def live(connection: Connection, owner_id: str | None = None) -> Sequence[DatabaseLogin]:
    """Return the logins of an owner, or of all (None), that are not revoked, newest first. Some may have expired."""
    return _all(connection, owner_id, only_live=True, most=None)


def revoke(connection: Connection, login_id: str, because: str, owner_id: str | None = None) -> DatabaseLogin | None:
    """Note that a login is revoked; return None if there is none of that ID (and owner) that was not."""
    return _first(connection, "revoke", id=_uuid(login_id), because=because, owner_id=_uuid(owner_id))


def note_reader(connection: Connection, login_id: str, reader: str) -> None:
    """Note which role for a set of datasets a login is a member of."""
    execute(connection, "database_logins/reader", id=_uuid(login_id), reader=reader)


def rights_of(connection: Connection, login: DatabaseLogin) -> Rights | None:
    """Return what the owner of a login may see now; None if that cannot be told: a person without a session."""
    for row in execute(connection, "database_logins/owner", owner_id=_uuid(login.owner_id)).mappings():
        if row["kind"] == login.owner_kind:
            datasets = None if row["datasets"] is None else tuple(row["datasets"])
            return Rights(datasets, row["unmask"], row["works"])
    return None


def _uuid(text: str | None) -> uuid.UUID | None:
    return None if text is None else uuid.UUID(text)


def _first(connection: Connection, query: str, **given: Any) -> DatabaseLogin | None:
    row = execute(connection, f"database_logins/{query}", **given).mappings().first()
    return _login(row) if row else None


def _all(connection: Connection, owner_id: str | None, *, only_live: bool, most: int | None) -> Sequence[DatabaseLogin]:
    rows = execute(connection, "database_logins/list", owner_id=_uuid(owner_id), only_live=only_live, most=most)
    return [_login(row) for row in rows.mappings()]


def _login(row: Any) -> DatabaseLogin:
    datasets = None if row["datasets"] is None else tuple(row["datasets"])
    return DatabaseLogin(**{**row, "datasets": datasets})
