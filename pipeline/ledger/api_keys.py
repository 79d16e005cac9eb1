"""API keys and sign-in links: authentication, and what each key is authorized to do.

A key is ``bk_<id>_<secret>``: the ID finds the row, the secret (192 random bits) is verified by its SHA-256, which is all that
the database stores. A sign-in token works once, for a limited time. A key may be limited to some datasets; the others do not
exist for it (docs/security.md). A key may expire. Rotation gives it another secret; the one before it works until the overlap
ends. Each change of a key is recorded in the audit log, in the same transaction.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Engine, RowMapping

from pipeline.errors import InvalidRequest, NotFound
from pipeline.ledger.audit_log import SYSTEM, Action, Event, append
from pipeline.ledger.statements import execute

_KEY = re.compile(r"bk_([0-9a-f]{32})_([0-9a-f]{48})")
_SECRET_BYTES = 24
_UNKNOWN_KEY_HASH = hashlib.sha256(b"").hexdigest()

WARN_BEFORE = timedelta(days=14)
"""How long before its expiry pages and `bulkhead doctor` warn of a key."""

USE_NOTED = timedelta(minutes=1)
"""The last use of a key is noted at most this often, so that reads write little."""

LONGEST_OVERLAP = timedelta(days=90)
TOLD_EVERY = timedelta(hours=1)
"""Recipients are told at most this often that a break-glass key is in use; the audit log has each use."""


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
    expires_at: datetime | None = None  # None: never
    generation: int = 1  # how many secrets it has had
    rotated_at: datetime | None = None
    previous_until: datetime | None = None  # until then the secret before the last rotation works too
    last_address: str = ""
    is_break_glass: bool = False
    unmask: bool = False  # whether it sees personal data without masks

    @property
    def kind(self) -> str:
        """Return what it is for the audit log: a key, or a user who signed in by SSO (sessions.py)."""
        return "key"

    def sees(self, dataset: str) -> bool:
        """Return whether the key may see a dataset."""
        return self.datasets is None or dataset in self.datasets

    def fault(self, now: datetime, generation: int | None = None) -> str:
        """Return why the key is refused now, as a sentence; empty if it is not. ``generation``: of the secret that was used."""
        if self.revoked_at is not None:
            return "This API key was revoked."
        if self.expires_at is not None and self.expires_at <= now:
            return f"This API key expired on {_day(self.expires_at)}."
        if generation is None or generation == self.generation:
            return ""
        if generation == self.generation - 1 and self.previous_until is not None and now < self.previous_until:
            return ""
        return f"This API key was replaced on {_day(self.rotated_at or now)}: use the new one."

    def expires_within(self, time: timedelta, now: datetime) -> bool:
        """Return whether the key is valid now, and no longer after that time."""
        return self.expires_at is not None and not self.fault(now) and self.expires_at <= now + time

    @property
    def is_valid(self) -> bool:
        """Return whether the key works now."""
        return not self.fault(datetime.now(UTC))

    @property
    def expires_soon(self) -> bool:
        """Return whether the key works now, and expires within WARN_BEFORE."""
        return self.expires_within(WARN_BEFORE, datetime.now(UTC))

    @property
    def overlaps(self) -> bool:
        """Return whether two secrets of the key work now."""
        return self.previous_until is not None and datetime.now(UTC) < self.previous_until

    def to_json(self) -> dict[str, Any]:
        """Return the key as the API shows it."""
        times = ("created_at", "last_used_at", "revoked_at", "expires_at", "rotated_at", "previous_until")
        moments = {name: getattr(self, name) for name in times}
        return {
            "id": self.id,
            "name": self.name,
            "role": str(self.role),
            "datasets": None if self.datasets is None else list(self.datasets),
            **{name: at.isoformat() if at else None for name, at in moments.items()},
            "last_address": self.last_address,
            "is_break_glass": self.is_break_glass,
            "unmask": self.unmask,
        }


@dataclass(frozen=True)
class Checked:
    """What a key's text is worth: the key if it works, else why not, and the key that was meant if its secret is right."""

    key: ApiKey | None
    fault: str = ""
    meant: ApiKey | None = None


def _day(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d}"


class ApiKeys:
    """Create, check and revoke keys; each method is one transaction. Safe to share between threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    # --- keys ---

    def create(
        self,
        name: str,
        role: Role | str,
        datasets: Iterable[str] | None = None,
        *,
        expires_at: datetime | None = None,
        is_break_glass: bool = False,
        unmask: bool | None = None,
        event: Event | None = None,
    ) -> tuple[str, ApiKey]:
        """Create a key, for all datasets or for ``datasets`` only; return its text, which is not stored, and its row.

        ``unmask``: whether it sees personal data; None: an admin's does. ``event`` says who creates it, for the audit log.
        Raises InvalidRequest for an unknown role, an empty list of datasets,
        an admin limited to some datasets, a break-glass key that is no admin's, and an expiry that has passed.
        """
        if role not in list(Role):
            raise InvalidRequest(f"There is no role {role!r}; a key is for one of {', '.join(Role)}.")
        named = None if datasets is None else sorted(set(datasets))
        if named is not None and role == Role.ADMIN:
            raise InvalidRequest("An admin sees every dataset. A key for some of them is a reader's or an uploader's.")
        if named == []:
            raise InvalidRequest("A key is for all datasets, or for one at least.")
        if is_break_glass and role != Role.ADMIN:
            raise InvalidRequest("A break-glass key is for emergencies: its role is admin.")
        _check_future(expires_at)
        key_id, secret = uuid.uuid4(), secrets.token_hex(_SECRET_BYTES)
        given = {"name": name, "role": str(role), "datasets": named, "expires_at": expires_at, "is_break_glass": is_break_glass}
        given["unmask"] = role == Role.ADMIN if unmask is None else unmask
        with self._engine.begin() as connection:
            row = execute(connection, "api_keys/create", id=key_id, secret_hash=_hash(secret), **given).mappings().one()
            made = _key(row)
            _record(connection, event, Action.KEY_CREATED, made, role=str(role), datasets=_scope(made))
        return f"bk_{key_id.hex}_{secret}", made

    def rotate(
        self, key_id: str, *, overlap: timedelta, expires_at: datetime | None = None, event: Event | None = None
    ) -> tuple[str, ApiKey]:
        """Give a key another secret, and return its new text and its row. The one before it works for ``overlap`` from now on.

        ``expires_at``: None leaves the key's expiry. Raises NotFound for an unknown key, InvalidRequest for a revoked one, an
        expired one without another expiry, an overlap beyond LONGEST_OVERLAP, and an expiry that has passed.
        """
        _check_future(expires_at)
        if overlap > LONGEST_OVERLAP:
            raise InvalidRequest(f"The overlap is at most {LONGEST_OVERLAP.days} days: then only the new secret works.")
        secret, now = secrets.token_hex(_SECRET_BYTES), datetime.now(UTC)
        with self._engine.begin() as connection:
            row = execute(connection, "api_keys/lock", id=uuid.UUID(key_id)).mappings().first()
            if row is None:
                raise NotFound(f"There is no key {key_id}.")
            if fault := replace(_key(row), expires_at=expires_at or row["expires_at"]).fault(now):
                raise InvalidRequest(f"{fault} It cannot be rotated{'' if row['revoked_at'] else ' without another expiry'}.")
            given = {"secret_hash": _hash(secret), "overlap_seconds": overlap.total_seconds(), "expires_at": expires_at}
            row = execute(connection, "api_keys/rotate", id=uuid.UUID(key_id), **given).mappings().one()
            made = _key(row)
            _record(connection, event, Action.KEY_ROTATED, made, overlap=str(overlap))
        return f"bk_{uuid.UUID(key_id).hex}_{secret}", made

    def check(self, key_text: str, address: str = "") -> ApiKey | None:
        """Return the key with this text if it works, or None."""
        return self.examine(key_text, address).key

    def examine(self, key_text: str, address: str = "") -> Checked:
        """Return the key with this text, or why it is refused. The time taken does not tell wrong from right ones.

        Only a client with a right secret learns that its key has expired, was revoked or replaced.
        """
        match = _KEY.fullmatch(key_text)
        if match is None:
            return Checked(None)
        key_id, given = uuid.UUID(match[1]), _hash(match[2])
        row = self._one("api_keys/get", id=key_id)
        is_newest = hmac.compare_digest(given, row["secret_hash"] if row else _UNKNOWN_KEY_HASH)
        is_previous = hmac.compare_digest(given, (row and row["previous_hash"]) or _UNKNOWN_KEY_HASH)
        if row is None or not (is_newest or is_previous):
            return Checked(None)
        key = _key(row)
        if fault := key.fault(datetime.now(UTC), key.generation if is_newest else key.generation - 1):
            return Checked(None, fault, key)
        self._note_use(key, address)
        return Checked(key, meant=key)

    def get(self, key_id: str, generation: int | None = None, address: str | None = None) -> ApiKey | None:
        """Return a key by its ID; None if it does not exist, or does not work any more.

        ``generation``: of the secret that a session began with. ``address``: of the client that uses it now, to be noted.
        """
        row = self._one("api_keys/get", id=uuid.UUID(key_id))
        if row is None or (key := _key(row)).fault(datetime.now(UTC), generation):
            return None
        if address is not None:
            self._note_use(key, address)
        return key

    def _note_use(self, key: ApiKey, address: str) -> None:
        """Note that a key is used now, unless that was noted within the last minute: most requests write nothing."""
        if key.last_used_at is None or datetime.now(UTC) - key.last_used_at >= USE_NOTED:
            self._one("api_keys/used", id=uuid.UUID(key.id), address=address)

    def list(self) -> Sequence[ApiKey]:
        """Return all keys, also revoked ones, newest first."""
        with self._engine.connect() as connection:
            return [_key(row) for row in execute(connection, "api_keys/list").mappings()]

    def revoke(self, key_id: str, event: Event | None = None) -> bool:
        """Revoke a key; return False if there is no such key."""
        with self._engine.begin() as connection:
            row = execute(connection, "api_keys/revoke", id=uuid.UUID(key_id)).mappings().first()
            if row is not None:
                _record(connection, event, Action.KEY_REVOKED, _key(row))
        return row is not None

    def record_expired(self) -> int:
        """Record in the audit log the keys that have expired since it was last told; return how many."""
        with self._engine.begin() as connection:
            expired = [_key(row) for row in execute(connection, "api_keys/expired").mappings()]
            for key in expired:
                append(connection, Event(Action.KEY_EXPIRED, SYSTEM, "key", key.id, details={"name": key.name}))
        return len(expired)

    def is_to_be_told(self, key_id: str) -> bool:
        """Return whether recipients are to be told now that a break-glass key is in use; True once within TOLD_EVERY."""
        return self._one("api_keys/told", id=uuid.UUID(key_id), every_seconds=TOLD_EVERY.total_seconds()) is not None

    # --- sign-in links ---

    def sign_in_token(self, key_id: str, seconds: int = 3600) -> str:
        """Return a token that signs in with the key's rights, once, within ``seconds``."""
        token = secrets.token_urlsafe(32)
        self._one("sign_ins/open", token_hash=_hash(token), key_id=uuid.UUID(key_id), seconds=seconds)
        return token

    def redeem(self, token: str) -> ApiKey | None:
        """Return the key of a sign-in token the first time; None from then on, or if the token or the key has expired."""
        row = self._one("sign_ins/redeem", token_hash=_hash(token))
        return _key(row) if row else None

    def _one(self, query: str, **values: Any) -> RowMapping | None:
        with self._engine.begin() as connection:
            result = execute(connection, query, **values)
            return result.mappings().first() if result.returns_rows else None


def _check_future(expires_at: datetime | None) -> None:
    if expires_at is not None and expires_at <= datetime.now(UTC):
        raise InvalidRequest(f"The expiry {_day(expires_at)} has passed. Give a time in the future.")


def _scope(key: ApiKey) -> str:
    return "all" if key.datasets is None else ", ".join(key.datasets)


def _record(connection: Connection, event: Event | None, action: Action, key: ApiKey, **details: str) -> None:
    """Append the event of a change of a key; without an ``event`` that says who made it, Bulkhead itself did."""
    by = replace(event, action=action) if event else Event(action, SYSTEM)
    more = {"expires": key.expires_at.isoformat(timespec="seconds")} if key.expires_at else {}
    more |= {"break_glass": "true"} if key.is_break_glass else {}
    more |= {"unmask": "true"} if key.unmask else {}
    append(connection, by.about("key", key.id, name=key.name, **details, **more))


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _key(row: RowMapping) -> ApiKey:
    shown = {name: row[name] for name in ApiKey.__dataclass_fields__}
    datasets = None if row["datasets"] is None else tuple(row["datasets"])
    return ApiKey(**{**shown, "role": Role(row["role"]), "datasets": datasets})
