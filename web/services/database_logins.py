"""Make, list and revoke logins to the database, for the key or the person in use. An admin sees and revokes those of all."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import structlog

from pipeline.database_logins import DatabaseLogins
from pipeline.ledger.api_keys import Role
from pipeline.ledger.audit_log import Also
from pipeline.ledger.database_logins import DatabaseLogin, Owner
from pipeline.warehouse.login_address import LoginAddress, login_address
from web.app_context import app_context
from web.http import audit_log
from web.http.auth import key_in_use
from web.http.problems import Problem

log = structlog.get_logger(__name__)


def address() -> LoginAddress:
    """Return where programs reach the database."""
    return login_address(app_context().settings)


def is_off() -> bool:
    """Return whether the settings say that there are no logins."""
    return _logins().is_off


def listed() -> Sequence[DatabaseLogin]:
    """Return the logins of the key in use, or for an admin of all, newest first."""
    return _logins().list(_whose())


def make(label: str, days: int | None) -> tuple[str, DatabaseLogin]:
    """Make a login for the key in use; return its password and its row. Raises InvalidRequest, NotReady, Unreachable."""
    lifetime = None if days is None else timedelta(days=days)
    password, made = _logins().create(_owner(), label, lifetime, _recorded)
    log.info("database login made", login_id=made.id, key_id=key_in_use().id)
    return password, made


def revoke(login_id: str) -> None:
    """Revoke a login of the key in use, or for an admin any. Raises Problem if there is none that works."""
    if _logins().revoke(login_id, _whose(), f"Revoked by {key_in_use().name}.", _recorded) is None:
        raise Problem("unknown_login", f"There is no login {login_id!r} that works. GET /v1/database-logins lists all.")
    log.info("database login revoked", login_id=login_id, key_id=key_in_use().id)


def end_of_key(key_id: str) -> None:
    """Revoke the logins of a key that was revoked."""
    _logins().end_of(key_id, "Its API key was revoked.")


def shown_once(password: str, made: DatabaseLogin) -> dict[str, Any]:
    """Return a new login as the API shows it, with its password."""
    at = address()
    place = {"host": at.host, "port": at.port, "database": at.database}
    return {**made.to_json(), "password": password, **place, "url": at.url(made.role, password)}


def _logins() -> DatabaseLogins:
    return DatabaseLogins(app_context().engine, app_context().settings)


def _whose() -> str | None:
    """Return whose logins the key in use sees; None: all."""
    key = key_in_use()
    return None if key.role is Role.ADMIN else key.id


def _owner() -> Owner:
    key = key_in_use()
    return Owner(key.kind, key.id, key.name, key.datasets, key.unmask, key.expires_at)


def _recorded(login: DatabaseLogin) -> Also:
    return audit_log.entry("database_login", login.id, user=login.role, owner=login.owner_name)
