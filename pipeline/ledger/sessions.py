"""Sessions of people who signed in at an identity provider, kept on the server: the cookie only has a random token.

A session has a role and datasets as an API key has, so all code that checks a key checks a person, too. It ends by sign-out,
when it was idle for too long, after its absolute limit, when the rules change, or when the provider says so (back-channel
logout).
"""

from __future__ import annotations

import hashlib
import secrets
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Engine

from pipeline.ledger.api_keys import USE_NOTED, ApiKey, Role
from pipeline.ledger.audit_log import clean
from pipeline.ledger.statements import execute

NAME_CHARACTERS_MAX = 200


@dataclass(frozen=True)
class Person(ApiKey):
    """A person in a session, who may do what a key of this role and these datasets may do. ``id`` is the person's."""

    email: str = ""
    token_hash: str = ""
    id_token: str = ""

    @property
    def kind(self) -> str:
        """Return what it is for the audit log."""
        return "user"


@dataclass(frozen=True)
class Identity:
    """Who a person is for the identity provider: issuer and subject never change; name and e-mail address may."""

    issuer: str
    subject: str
    name: str
    email: str = ""


@dataclass(frozen=True)
class Grant:
    """What a session may do, and the SHA-256 of the rules that say so."""

    role: Role
    datasets: tuple[str, ...] | None
    rules: str


@dataclass(frozen=True)
class ProviderSession:
    """The provider's side of a session: its ID (claim ``sid``, may be empty) and the ID token that names it at sign-out."""

    id: str
    id_token: str


class Sessions:
    """Begin, look up and end sessions; each method is one transaction. Safe to share between threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def know(self, who: Identity) -> str:
        """Return the ID of the person with this identity, who is recorded at the first sign-in."""
        name = " ".join(clean(who.name).split())[:NAME_CHARACTERS_MAX] or "unnamed"
        given = {"issuer": who.issuer, "subject": who.subject, "name": name, "email": clean(who.email)[:NAME_CHARACTERS_MAX]}
        with self._engine.begin() as connection:
            return str(execute(connection, "persons/know", **given).scalar_one())

    def open(self, person_id: str, grant: Grant, provider: ProviderSession, *, limit: timedelta, address: str) -> str:
        """Begin a session that ends after ``limit`` at the latest; return its token, which is not stored."""
        token = secrets.token_urlsafe(32)
        datasets = None if grant.datasets is None else sorted(set(grant.datasets))
        given: dict[str, Any] = {"role": str(grant.role), "datasets": datasets, "rules": grant.rules, "address": address}
        given |= {"provider_session": provider.id, "id_token": provider.id_token, "limit_seconds": limit.total_seconds()}
        with self._engine.begin() as connection:
            execute(connection, "sessions/open", token_hash=_hash(token), person_id=uuid.UUID(person_id), **given)
        return token

    def get(self, token: str, *, rules: str, idle: timedelta, address: str) -> Person | None:
        """Return who is in the session with this token, and note its use; None if it is over, or began under other rules."""
        found = self.look(_hash(token), rules=rules, idle=idle)
        if found is not None and found.last_used_at is not None and datetime.now(UTC) - found.last_used_at >= USE_NOTED:
            with self._engine.begin() as connection:
                execute(connection, "sessions/used", token_hash=found.token_hash, address=address)
        return found

    def look(self, token_hash: str, *, rules: str, idle: timedelta) -> Person | None:
        """Return who is in a session, as ``get`` does, without noting a use."""
        given = {"token_hash": token_hash, "rules": rules, "idle_seconds": idle.total_seconds()}
        with self._engine.connect() as connection:
            row = execute(connection, "sessions/get", **given).mappings().first()
        if row is None:
            return None
        datasets = None if row["datasets"] is None else tuple(row["datasets"])
        return Person(**{**row, "role": Role(row["role"]), "datasets": datasets})

    def end(self, token: str) -> None:
        """End the session with this token."""
        with self._engine.begin() as connection:
            execute(connection, "sessions/end", token_hash=_hash(token))

    def end_of(self, issuer: str, *, subject: str = "", provider_session: str = "") -> Sequence[tuple[str, str]]:
        """End the sessions that began in a session of the provider, or all of a person; return IDs and names of whose.

        Raises ValueError if neither is given: that would be the sessions of all people.
        """
        if not (subject or provider_session):
            raise ValueError("name a person or a session of the provider")
        given = {"issuer": issuer, "subject": subject, "provider_session": provider_session}
        with self._engine.begin() as connection:
            rows = execute(connection, "sessions/end_of", **given).mappings().all()
        return sorted({(row["id"], row["name"]) for row in rows})

    def use_state(self, state: str, *, within: timedelta) -> bool:
        """Note that the sign-in with this state came back from the provider; return False if it already had."""
        given = {"state_hash": _hash(state), "seconds": within.total_seconds()}
        with self._engine.begin() as connection:
            return execute(connection, "sessions/use_state", **given).first() is not None


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
