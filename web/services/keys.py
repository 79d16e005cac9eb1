"""Create, rotate and revoke API keys."""

from __future__ import annotations

import uuid
from datetime import timedelta

import structlog

from pipeline.errors import NotFound
from pipeline.ledger.api_keys import ApiKey, Role
from pipeline.ledger.audit_log import Action
from web.app_context import app_context
from web.http import audit_log
from web.http.auth import key_in_use
from web.http.problems import Problem
from web.models.admin import KeyBody, RotateBody
from web.services import database_logins, key_scope

log = structlog.get_logger(__name__)


def make_key(wanted: KeyBody) -> tuple[str, ApiKey]:
    """Create a key; return its text and its row. Raises UnknownDataset, or InvalidRequest for an admin of some datasets."""
    for name in wanted.datasets or ():
        key_scope.dataset(name)
    unmask = wanted.role is Role.ADMIN and key_in_use().unmask if wanted.unmask is None else wanted.unmask
    _check_unmask(unmask)
    event = audit_log.event(Action.KEY_CREATED)
    made = app_context().keys.create(
        wanted.name, wanted.role, wanted.datasets, expires_at=wanted.expires_at, unmask=unmask, event=event
    )
    audit_log.mark_written()
    log.info("key made", made_id=made[1].id, role=str(wanted.role), datasets=wanted.datasets, key_id=key_in_use().id)
    return made


def rotate(key_id: str, wanted: RotateBody) -> tuple[str, ApiKey]:
    """Give a key another secret; return its new text and its row. Raises Problem, InvalidRequest."""
    overlap = timedelta(seconds=wanted.overlap_seconds)
    try:
        found = app_context().keys.get(str(uuid.UUID(key_id)))
        _check_unmask(found is not None and found.unmask)
        known, event = str(uuid.UUID(key_id)), audit_log.event(Action.KEY_ROTATED)
        made = app_context().keys.rotate(known, overlap=overlap, expires_at=wanted.expires_at, event=event)
    except (ValueError, NotFound) as error:
        raise _unknown(key_id) from error
    audit_log.mark_written()
    log.info("key rotated", rotated_id=known, overlap_seconds=wanted.overlap_seconds, key_id=key_in_use().id)
    return made


def _check_unmask(wanted: bool) -> None:
    """Raise Problem if a secret that may unmask would be given by a key that may not."""
    if wanted and not key_in_use().unmask:
        raise Problem("forbidden", "Only a key that sees personal data can make, or rotate, a key that does.")


def revoke(key_id: str) -> None:
    """Revoke a key. Raises Problem if there is none of that id."""
    try:
        known = app_context().keys.revoke(str(uuid.UUID(key_id)), audit_log.event(Action.KEY_REVOKED))
    except ValueError:
        known = False
    if not known:
        raise _unknown(key_id)
    audit_log.mark_written()
    database_logins.end_of_key(str(uuid.UUID(key_id)))
    log.info("key revoked", revoked_id=str(uuid.UUID(key_id)), key_id=key_in_use().id)


def _unknown(key_id: str) -> Problem:
    return Problem("unknown_key", f"There is no key {key_id!r}. GET /v1/keys lists all keys.")
