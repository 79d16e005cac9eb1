"""How far the reconciliation has listed a bucket, so that its next run goes on there."""

from __future__ import annotations

from sqlalchemy import Engine

from pipeline.ledger.statements import Statements


class Listings:
    """Remember positions in the listings of buckets."""

    def __init__(self, engine: Engine) -> None:
        self._statements = Statements(engine)

    def position(self, bucket: str) -> str:
        """Return the key after which the listing of a bucket goes on; empty: from its beginning."""
        rows = self._statements.rows("listings/get", bucket=bucket)
        return str(rows[0]["after_key"]) if rows else ""

    def keep(self, bucket: str, after_key: str) -> None:
        """Remember the key after which the listing goes on."""
        self._statements.run("listings/keep", bucket=bucket, after_key=after_key)
