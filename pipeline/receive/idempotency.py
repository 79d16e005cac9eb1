"""Idempotency keys of uploads: the same request, sent again, gets the import that the first one made."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from pipeline.adapters.s3 import Store
from pipeline.contracts.states import State
from pipeline.errors import Conflict, IllegalMove, InvalidRequest
from pipeline.ledger.ledger import Ledger
from pipeline.ledger.models import ImportRecord


class IdempotencyMismatch(InvalidRequest):
    """The idempotency key was used for another upload."""


class UploadInFlight(Conflict):
    """An upload with this idempotency key is still under way."""


@dataclass(frozen=True)
class IdempotencyKey:
    """A request's idempotency key: the same request, sent again, gets the import that the first one made.

    ``fingerprint`` is a hash of what the request asks for; ``owner`` the ID of the API key, since each has keys of its own.
    """

    owner: str
    value: str
    fingerprint: str


class Idempotency:
    """Tell repeated requests from first ones."""

    def __init__(self, store: Store, ledger: Ledger) -> None:
        self._store = store
        self._ledger = ledger

    def earlier(self, key: IdempotencyKey, import_id: str) -> ImportRecord | None:
        """Record a request for ``import_id``; return the import of an earlier request with the same key, or None.

        Raises IdempotencyMismatch if the earlier one asked for something else, UploadInFlight if it is still under way.
        """
        keys = self._ledger.idempotency_keys
        if keys.open(key.owner, key.value, fingerprint=key.fingerprint, import_id=import_id):
            return None
        known = keys.get(key.owner, key.value)
        if known is None:  # it has failed since
            return self.earlier(key, import_id)
        if known.fingerprint != key.fingerprint:
            raise IdempotencyMismatch
        made = self._ledger.imports.get(known.import_id)
        if made is not None and made.state not in (State.AWAITING_UPLOAD, State.EXPIRED):
            return made
        is_dead = known.is_old if made is None else made.state is State.EXPIRED or self._has_died(made.id)
        if is_dead and keys.renew(key.owner, key.value, import_id=import_id, stale_id=known.import_id):
            return None
        raise UploadInFlight

    def forget(self, key: IdempotencyKey, import_id: str) -> None:
        """Forget a request that failed, so that the next one with its key is the first."""
        self._ledger.idempotency_keys.discard(key.owner, key.value, import_id=import_id)

    def _has_died(self, import_id: str) -> bool:
        """Give up an upload whose lease has lapsed; return False if it has not, or if the file is complete in S3."""
        key = self._ledger.uploads.lapsed_key(import_id)
        if key is None or self._store.head(key) is not None:
            return False
        with suppress(IllegalMove):
            self._ledger.imports.move(import_id, State.EXPIRED)
            return True
        return False
