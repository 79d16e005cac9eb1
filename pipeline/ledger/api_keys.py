"""API keys and sign-in links: who may come in, and what they may do.

A key reads ``bk_<id>_<secret>``: the id finds the row, the secret (192 random bits) proves the right to use it, and
only the secret's SHA-256 is kept, so nothing in the database opens the door. A sign-in token works once, for a while.
A key may be for some datasets only; what is of another one does not exist for it (docs/security.md).
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Engine, RowMapping, text

from pipeline.errors import InvalidRequest
from pipeline.sqlfiles import load

_KEY = re.compile(r"bk_([0-9a-f]{32})_([0-9a-f]{48})")
_SECRET_BYTES = 24
_NOBODYS_HASH = hashlib.sha256(b"").hexdigest()


class Role(StrEnum):
    """What a key may do; each role may do all that the one before it may."""

    READER = "reader"
    UPLOADER = "uploader"
    ADMIN = "admin"

    def covers(self, needed: Role) -> bool:
        """This role may do what ``needed`` may."""
        order = list(Role)
        return order.index(self) >= order.index(needed)


@dataclass(frozen=True)
class ApiKey:
    """One API key, without its secret."""

    id: str
    name: str
    role: Role
    created_at: datetime
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None
    datasets: tuple[str, ...] | None = None  # sorted; None: all there are, and all that will be

    def sees(self, dataset: str) -> bool:
        """There is such a dataset for whoever has this key."""
        return self.datasets is None or dataset in self.datasets

    def to_json(self) -> dict[str, Any]:
        """The key as the API shows it."""
        return {
            "id": self.id,
            "name": self.name,
            "role": str(self.role),
            "datasets": None if self.datasets is None else list(self.datasets),
            "created_at": self.created_at.isoformat(),
            "last_used_at": self.last_used_at.isoformat() if self.last_used_at else None,
            "revoked_at": self.revoked_at.isoformat() if self.revoked_at else None,
        }


class ApiKeys:
    """The keys in the database; each method is one transaction. Safe to share between threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    # --- keys ---

    def create(self, name: str, role: Role | str, datasets: Iterable[str] | None = None) -> tuple[str, ApiKey]:
        """A new key, for ``datasets`` alone if any are named: its text, which nobody can tell again, and its row.

        Raises InvalidRequest for an unknown role, for no dataset at all, and for an admin that is not to see everything.
        """
        if role not in list(Role):
            raise InvalidRequest(f"There is no role {role!r}; a key is for one of {', '.join(Role)}.")
        named = None if datasets is None else sorted(set(datasets))
        if named is not None and role == Role.ADMIN:
            raise InvalidRequest("An admin sees every dataset. A key for some of them is a reader's or an uploader's.")
        if named == []:
            raise InvalidRequest("A key is for all datasets, or for one at least.")
        key_id, secret = uuid.uuid4(), secrets.token_hex(_SECRET_BYTES)
        row = self._one("api_keys/create", id=key_id, name=name, role=str(role), datasets=named, secret_hash=_hash(secret))
        assert row is not None, "an insert that returns gives its row or raises"
        return f"bk_{key_id.hex}_{secret}", _key(row)

    def check(self, key_text: str) -> ApiKey | None:
        """The key that ``key_text`` proves the right to use, or None. Wrong and right ones take as long."""
        match = _KEY.fullmatch(key_text)
        if match is None:
            return None
        key_id, secret = uuid.UUID(match[1]), match[2]
        row = self._one("api_keys/get", id=key_id)
        right = hmac.compare_digest(_hash(secret), row["secret_hash"] if row else _NOBODYS_HASH)
        if row is None or not right or row["revoked_at"] is not None:
            return None
        self._one("api_keys/used", id=key_id)
        return _key(row)

    def get(self, key_id: str) -> ApiKey | None:
        """A key that is still good, by its id; None if it was revoked or never was."""
        row = self._one("api_keys/get", id=uuid.UUID(key_id))
        return _key(row) if row and row["revoked_at"] is None else None

    def list(self) -> Sequence[ApiKey]:
        """Every key there ever was, newest first."""
        with self._engine.connect() as connection:
            return [_key(row) for row in connection.execute(text(load("queries/api_keys/list"))).mappings()]

    def revoke(self, key_id: str) -> bool:
        """From now on the key opens nothing; False if there is no such key."""
        return self._one("api_keys/revoke", id=uuid.UUID(key_id)) is not None

    # --- sign-in links ---

    def sign_in_token(self, key_id: str, seconds: int = 3600) -> str:
        """A token that signs somebody in as the key's owner, once, within ``seconds``."""
        token = secrets.token_urlsafe(32)
        self._one("sign_ins/open", token_hash=_hash(token), key_id=uuid.UUID(key_id), seconds=seconds)
        return token

    def redeem(self, token: str) -> ApiKey | None:
        """The key behind a token, the first time it is asked for; None ever after."""
        row = self._one("sign_ins/redeem", token_hash=_hash(token))
        return _key(row) if row else None

    def _one(self, query: str, **values: Any) -> RowMapping | None:
        with self._engine.begin() as connection:
            result = connection.execute(text(load(f"queries/{query}")), values)
            return result.mappings().first() if result.returns_rows else None


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _key(row: RowMapping) -> ApiKey:
    datasets = None if row["datasets"] is None else tuple(row["datasets"])
    return ApiKey(
        row["id"], row["name"], Role(row["role"]), row["created_at"], row["last_used_at"], row["revoked_at"], datasets
    )
