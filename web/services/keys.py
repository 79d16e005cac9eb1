"""Create and revoke API keys."""

from __future__ import annotations

import uuid

import structlog

from pipeline.ledger.api_keys import ApiKey
from web.app_context import app_context
from web.http.auth import key_in_use
from web.http.problems import Problem
from web.models.admin import KeyBody
from web.services import key_scope

log = structlog.get_logger(__name__)


def make_key(wanted: KeyBody) -> tuple[str, ApiKey]:
    """Create a key; return its text and its row. Raises UnknownDataset, or InvalidRequest for an admin of some datasets."""
    for name in wanted.datasets or ():
        key_scope.dataset(name)
    made = app_context().keys.create(wanted.name, wanted.role, wanted.datasets)
    log.info("key made", made_id=made[1].id, role=str(wanted.role), datasets=wanted.datasets, key_id=key_in_use().id)
    return made


def revoke(key_id: str) -> None:
    """Revoke a key. Raises Problem if there is none of that id."""
    try:
        known = app_context().keys.revoke(str(uuid.UUID(key_id)))
    except ValueError:
        known = False
    if not known:
        raise Problem("unknown_key", f"There is no key {key_id!r}. GET /v1/keys lists all keys.")
    log.info("key revoked", revoked_id=str(uuid.UUID(key_id)), key_id=key_in_use().id)
