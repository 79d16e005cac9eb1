"""Record that a process starts with other settings than the last one of its kind: which ones, never their values.

The ledger has a salted hash of each setting. A secret's is slow to compute (scrypt): a weak one cannot be guessed.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from pipeline.adapters.postgres import connect
from pipeline.adapters.postgres_access import to_database
from pipeline.ledger.audit_log import SYSTEM, Action, Event, append
from pipeline.ledger.statements import execute
from pipeline.setting_types import is_secret, names_of, text_of
from pipeline.settings import Settings

log = structlog.get_logger(__name__)

_SCRYPT = {"n": 1 << 12, "r": 8, "p": 1}


def told_apart(settings: Settings) -> tuple[dict[str, str], frozenset[str]]:
    """Return each setting's value as text by its name in the environment, and the names of those that are secrets."""
    values, secret = {}, set()
    for attribute, field in type(settings).model_fields.items():
        name = names_of(field)[0]
        values[name] = text_of(getattr(settings, attribute))
        if is_secret(field):
            secret.add(name)
    return values, frozenset(secret)


def digests(values: Mapping[str, str], secret_names: frozenset[str], salt: str) -> dict[str, str]:
    """Return a hash of each setting's value; ``secret_names``: of the settings that hold secrets."""
    return {name: _digest(name, value, salt, is_secret=name in secret_names) for name, value in values.items()}


def _digest(name: str, value: str, salt: str, *, is_secret: bool) -> str:
    salted = f"{salt}\n{name}".encode()
    if is_secret and value:
        return hashlib.scrypt(value.encode("utf-8", "surrogatepass"), salt=salted, dklen=16, **_SCRYPT).hex()
    return hashlib.sha256(salted + b"\n" + value.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def note_start(engine: Engine, process: str, values: Mapping[str, str], secret_names: frozenset[str]) -> list[str]:
    """Record a start of a kind of process if its settings differ from those of the last start; return which ones do.

    The first start of all is recorded, too, with no names.
    """
    with engine.begin() as connection:
        known = execute(connection, "audit_log/settings", process=process).mappings().first()
        salt = known["salt"] if known else secrets.token_hex(16)
        now = digests(values, secret_names, salt)
        before: Mapping[str, str] = known["digests"] if known else {}
        changed = sorted(name for name in {*now, *before} if now.get(name) != before.get(name)) if known else []
        if known and not changed:
            return []
        execute(connection, "audit_log/keep_settings", process=process, salt=salt, digests=json.dumps(now))
        details = {"changed": ", ".join(changed)} if changed else {"first_start": "true"}
        append(connection, Event(Action.SETTINGS_CHANGED, SYSTEM, "process", process, details=details))
    return changed


def record_start(settings: Settings, process: str) -> None:
    """Record the start of a process of that kind if its settings have changed. An error is logged: it delays no start."""
    engine = connect(to_database(settings), pool_size=1, name=f"bulkhead {process} start")
    try:
        values, secret_names = told_apart(settings)
        if changed := note_start(engine, process, values, secret_names):
            log.info("settings changed", process=process, settings=changed)
    except (DBAPIError, PoolTimeout) as error:
        log.warning("start with these settings not recorded", process=process, error=type(error).__name__)
    finally:
        engine.dispose()
