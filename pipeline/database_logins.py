"""Logins to the database for other programs: made for a key or a person, revoked by them, or when their rights end or change.

A login is a role in PostgreSQL (warehouse/login_roles.py) and a row in the ledger (ledger/database_logins.py), made in one
transaction with the event of the audit log. It reads what SQL of its owner reads, by the role of the owner's datasets
(docs/decisions/0049).
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import psycopg
import structlog
from psycopg import errors as pg
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from pipeline.adapters.postgres import driver_connection, raw_connection
from pipeline.datasets.dataset import dataset_names, load_dataset
from pipeline.errors import BulkheadError, InvalidRequest, NotReady
from pipeline.ledger import database_logins as rows
from pipeline.ledger.audit_log import SYSTEM, Action, Also, Event, append
from pipeline.ledger.database_logins import LIVE_MAX, DatabaseLogin, Owner, Rights
from pipeline.settings import Settings
from pipeline.warehouse import login_roles
from pipeline.warehouse.dataset_source import DatasetSource
from pipeline.warehouse.query.sql_logins import dataset_role
from pipeline.warehouse.sql_reader import READER_ROLE, grant

log = structlog.get_logger(__name__)

LONGEST = timedelta(days=90)
"""How long a key's login works at most; then its owner makes another one."""

LONGEST_OF_PERSON = timedelta(days=30)
"""The same for a person who signed in by single sign-on: Bulkhead does not learn when the person leaves."""

LABEL_CHARACTERS_MAX = 80

_MAY_NOT = (
    "PostgreSQL does not let Bulkhead make a login here. docs/connect.md says what the database's administrator must grant, or"
    " set BULKHEAD_CONNECT_ADDRESS=off."
)


class DatabaseLogins:
    """Make, list and revoke logins to the database. Safe to share between threads."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self._engine = engine
        self._settings = settings
        self._datasets = DatasetSource(settings, engine)

    @property
    def is_off(self) -> bool:
        """Return whether the settings say that there are none."""
        return self._settings.connect_address == "off"

    def create(
        self, owner: Owner, label: str, lifetime: timedelta | None, also: Callable[[DatabaseLogin], Also]
    ) -> tuple[str, DatabaseLogin]:
        """Make a login; return its password, which is not stored, and its row. ``lifetime`` None: as long as may be.

        ``also(login)`` ends the transaction: the audit log. Raises InvalidRequest, NotReady, Unreachable.
        """
        label = " ".join(label.replace("\0", "").split())
        if self.is_off:
            raise InvalidRequest("Logins to the database are switched off here (BULKHEAD_CONNECT_ADDRESS=off).")
        if not 0 < len(label) <= LABEL_CHARACTERS_MAX:
            raise InvalidRequest(f"Say in 1 to {LABEL_CHARACTERS_MAX} characters which program the login is for.")
        until = _until(owner, lifetime)
        reader = self._reader(owner.datasets, owner.unmask)
        role, password = login_roles.new_role(), login_roles.new_password()
        given = {"role": role, "reader": reader, "label": label, "expires_at": until}
        try:
            with self._engine.begin() as connection:
                made = rows.add(connection, uuid.uuid4(), owner, **given)
                if made is None:
                    raise InvalidRequest(f"You have {LIVE_MAX} logins, which is the limit. Revoke one that is not used.")
                seconds = self._settings.sql_seconds
                login_roles.create(driver_connection(connection), role, reader, password, until, seconds)
                also(made)(connection)
        except pg.InsufficientPrivilege as error:
            raise NotReady(_MAY_NOT) from error
        return password, made

    def list(self, owner_id: str | None) -> Sequence[DatabaseLogin]:
        """Return the logins of an owner, or of all (None), also revoked ones, newest first."""
        with self._engine.connect() as connection:
            return rows.listed(connection, owner_id)

    def revoke(
        self, login_id: str, owner_id: str | None, because: str, also: Callable[[DatabaseLogin], Also]
    ) -> DatabaseLogin | None:
        """Revoke a login and end its sessions; None if there is none such. ``owner_id`` None: of any owner."""
        try:
            known = str(uuid.UUID(login_id))
        except ValueError:
            return None
        with self._engine.begin() as connection:
            login = rows.revoke(connection, known, because, owner_id)
            if login is None:
                return None
            login_roles.close(driver_connection(connection), login.role)
            also(login)(connection)
        self._drop(login.role)
        return login

    def end_of(self, owner_id: str, because: str) -> int:
        """Revoke all logins of an owner; return how many."""
        with self._engine.connect() as connection:
            live = rows.live(connection, owner_id)
        return sum(self._end(login, because) for login in live)

    def keep_up(self, beat: Callable[[str], None] = lambda _: None) -> int:
        """Revoke what has expired or whose owner may not see as much any more, and end sessions beyond their limits.

        A login gets the role that is right today: for all datasets that there are now, with the masks that they have now.
        Return how many were revoked. What fails is logged; the next run tries again.
        """
        with self._engine.connect() as connection:
            live = [(login, rows.rights_of(connection, login)) for login in rows.live(connection)]
        ended = 0
        for login, rights in live:
            beat(f"database login {login.id}")
            try:
                ended += self._keep_up(login, rights)
            except (BulkheadError, DBAPIError, psycopg.Error) as error:
                log.warning("database login not kept up", login_id=login.id, why=str(error))
        self._tidy(frozenset(login.role for login, _ in live))
        return ended

    def _keep_up(self, login: DatabaseLogin, rights: Rights | None) -> int:
        if because := why_ended(login, rights, is_off=self.is_off, now=datetime.now(UTC)):
            return self._end(login, because)
        wanted = self._reader(login.datasets, login.unmask)
        if wanted != login.reader:
            with self._engine.begin() as connection:
                rows.note_reader(connection, login.id, wanted)
                login_roles.join(driver_connection(connection), login.role, wanted)
        return 0

    def _end(self, login: DatabaseLogin, because: str) -> int:
        def also(one: DatabaseLogin) -> Also:
            event = Event(Action.DATABASE_LOGIN_REVOKED, SYSTEM).about(
                "database_login", one.id, user=one.role, owner=one.owner_name, because=because
            )
            return lambda connection: append(connection, event)

        return int(self.revoke(login.id, None, because, also) is not None)

    def _reader(self, datasets: tuple[str, ...] | None, unmask: bool) -> str:
        """Return the role that reads these datasets, which is made or renewed if it is for some of them, or with masks."""
        root = self._datasets.root()
        known = set(dataset_names(root))
        named = known if datasets is None else known & set(datasets)
        personal = {} if unmask else {name: load_dataset(name, root).personal for name in sorted(named)}
        masked = {name: columns for name, columns in personal.items() if columns}
        if datasets is None and not masked:
            return READER_ROLE
        wanted = dataset_role(tuple(sorted(known)) if datasets is None else datasets, masked)
        grant(self._engine, self._settings, wanted)
        return wanted.name

    def _tidy(self, live: frozenset[str]) -> None:
        """End sessions beyond their limits, and drop closed roles whose removal was interrupted."""
        try:
            with raw_connection(self._engine) as raw:
                if live and (count := login_roles.end_unruly(raw, self._settings.sql_seconds)):
                    log.warning("ended sessions of database logins beyond their limits", count=count)
                gone = login_roles.left_over(raw, live)
        except (DBAPIError, psycopg.Error) as error:
            log.warning("sessions of database logins not looked at", why=str(error))
            return
        for role in gone:
            self._drop(role)

    def _drop(self, role: str) -> None:
        """Drop a role that can no longer log in. If that fails, the next run of ``keep_up`` tries again."""
        try:
            with self._engine.begin() as connection:
                login_roles.drop(driver_connection(connection), role)
        except (DBAPIError, psycopg.Error) as error:
            log.warning("role of a database login not dropped yet", role=role, why=str(error))


def why_ended(login: DatabaseLogin, rights: Rights | None, *, is_off: bool, now: datetime) -> str:
    """Return why a login is to be revoked, as a sentence; empty if it is not. ``rights``: of its owner, if known."""
    if is_off:
        return "Logins to the database were switched off."
    if login.expires_at <= now:
        return "It has expired."
    if rights is None:
        return "" if login.owner_kind == "user" else "Its API key no longer exists."
    if not rights.works:
        return "Its API key was revoked or has expired."
    if rights.datasets != login.datasets or (login.unmask and not rights.unmask):
        return "The datasets of its owner have changed."
    return ""


def _until(owner: Owner, lifetime: timedelta | None) -> datetime:
    longest = LONGEST if owner.kind == "key" else LONGEST_OF_PERSON
    if lifetime is not None and not timedelta(0) < lifetime <= longest:
        raise InvalidRequest(f"The login works for 1 to {longest.days} days.")
    until = datetime.now(UTC) + (lifetime or longest)
    ends = owner.expires_at if owner.kind == "key" else None  # a session's end is not the person's
    return min(until, ends) if ends else until
