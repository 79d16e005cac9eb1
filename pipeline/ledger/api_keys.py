"""API keys and sign-in links: authentication, and what each key is authorized to do.

A key is ``bk_<id>_<secret>``: the ID finds the row, the secret (192 random bits) is verified by its SHA-256, which is all that
the database stores. A sign-in token works once, for a limited time. A key may be limited to some datasets; the others do not
exist for it (docs/security.md).
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
_UNKNOWN_KEY_HASH = hashlib.sha256(b"").hexdigest()


class Role(StrEnum):
    """What a key may do; each role includes the one before it."""

    READER = "reader"
    UPLOADER = "uploader"
    ADMIN = "admin"

    def covers(self, needed: Role) -> bool:
        """Return whether this role includes ``needed``."""
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
    datasets: tuple[str, ...] | None = None  # sorted; None: all, also future ones

    def sees(self, dataset: str) -> bool:
        """Return whether the key may see a dataset."""
        return self.datasets is None or dataset in self.datasets

    def to_json(self) -> dict[str, Any]:
        """Return the key as the API shows it."""
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
    """Create, check and revoke keys; each method is one transaction. Safe to share between threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    # --- keys ---

    def create(self, name: str, role: Role | str, datasets: Iterable[str] | None = None) -> tuple[str, ApiKey]:
        """Create a key, for all datasets or for ``datasets`` only; return its text, which is not stored, and its row.

        Raises InvalidRequest for an unknown role, an empty list of datasets, and an admin limited to some datasets.
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
        """Return the key with this text, or None. The time taken does not tell wrong from right ones."""
        match = _KEY.fullmatch(key_text)
        if match is None:
            return None
        key_id, secret = uuid.UUID(match[1]), match[2]
        row = self._one("api_keys/get", id=key_id)
        right = hmac.compare_digest(_hash(secret), row["secret_hash"] if row else _UNKNOWN_KEY_HASH)
        if row is None or not right or row["revoked_at"] is not None:
            return None
        self._one("api_keys/used", id=key_id)
        return _key(row)

    def get(self, key_id: str) -> ApiKey | None:
        """Return a key by its ID; None if it is revoked or does not exist."""
        row = self._one("api_keys/get", id=uuid.UUID(key_id))
        return _key(row) if row and row["revoked_at"] is None else None

    def list(self) -> Sequence[ApiKey]:
        """Return all keys, also revoked ones, newest first."""
        with self._engine.connect() as connection:
            return [_key(row) for row in connection.execute(text(load("queries/api_keys/list"))).mappings()]

    def revoke(self, key_id: str) -> bool:
        """Revoke a key; return False if there is no such key."""
        return self._one("api_keys/revoke", id=uuid.UUID(key_id)) is not None

    # --- sign-in links ---

    def sign_in_token(self, key_id: str, seconds: int = 3600) -> str:
        """Return a token that signs in with the key's rights, once, within ``seconds``."""
        token = secrets.token_urlsafe(32)
        self._one("sign_ins/open", token_hash=_hash(token), key_id=uuid.UUID(key_id), seconds=seconds)
        return token

    def redeem(self, token: str) -> ApiKey | None:
        """Return the key of a sign-in token the first time; None from then on, or if the token has expired."""
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
