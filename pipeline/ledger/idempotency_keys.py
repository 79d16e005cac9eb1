"""Idempotency keys: of several requests with one key, the first makes an import and the others get that import."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Engine

from pipeline.ledger.statements import Statements, execute


@dataclass(frozen=True)
class KnownRequest:
    """An earlier request with the same idempotency key."""

    fingerprint: str
    import_id: str
    is_old: bool  # an import of this age would be in the ledger if it had been opened


class IdempotencyKeys:
    """Record requests by the API key that made them and their idempotency key."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._statements = Statements(engine)

    def open(self, key_id: str, idempotency_key: str, *, fingerprint: str, import_id: str) -> bool:
        """Record a request; return False if there was one with this idempotency key before."""
        given = {"key_id": key_id, "idempotency_key": idempotency_key, "fingerprint": fingerprint, "import_id": import_id}
        with self._engine.begin() as connection:
            return execute(connection, "idempotency_keys/open", **given).first() is not None

    def get(self, key_id: str, idempotency_key: str) -> KnownRequest | None:
        """Return the request that was recorded with this idempotency key, or None."""
        rows = self._statements.rows("idempotency_keys/get", key_id=key_id, idempotency_key=idempotency_key)
        return KnownRequest(**rows[0]) if rows else None

    def renew(self, key_id: str, idempotency_key: str, *, import_id: str, stale_id: str) -> bool:
        """Give the idempotency key of a failed upload to another import; of two requests at once only one gets True."""
        given = {"key_id": key_id, "idempotency_key": idempotency_key, "import_id": import_id, "stale_id": stale_id}
        with self._engine.begin() as connection:
            return execute(connection, "idempotency_keys/renew", **given).first() is not None

    def discard(self, key_id: str, idempotency_key: str, *, import_id: str) -> None:
        """Forget the request, so that the next one with this idempotency key is the first."""
        self._statements.run("idempotency_keys/discard", key_id=key_id, idempotency_key=idempotency_key, import_id=import_id)
