"""The ledger, by subject: the permanent record of every import, each change of its state, and what became of its records.

Temporal forgets a finished run after its retention period; the ledger does not.
"""

from __future__ import annotations

from sqlalchemy import Engine

from pipeline.ledger.audit_log import AuditLog
from pipeline.ledger.audits import Audits
from pipeline.ledger.deliveries import Deliveries
from pipeline.ledger.failures import Failures
from pipeline.ledger.findings import Findings
from pipeline.ledger.idempotency_keys import IdempotencyKeys
from pipeline.ledger.imports import Imports
from pipeline.ledger.listings import Listings
from pipeline.ledger.mappings import Mappings
from pipeline.ledger.monitoring import Monitoring
from pipeline.ledger.patches import Patches
from pipeline.ledger.removals import Removals
from pipeline.ledger.saved_queries import SavedQueries
from pipeline.ledger.uploads import Uploads


class Ledger:
    """Hold the ledger's subjects on one engine. Each method of a subject is one transaction. Safe to share between threads."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.imports = Imports(engine)
        self.uploads = Uploads(engine)
        self.findings = Findings(engine)
        self.audits = Audits(engine)
        self.audit_findings = Findings(engine, of="audit")
        self.failures = Failures(engine)
        self.patches = Patches(engine)
        self.deliveries = Deliveries(engine)
        self.mappings = Mappings(engine)
        self.listings = Listings(engine)
        self.idempotency_keys = IdempotencyKeys(engine)
        self.removals = Removals(engine)
        self.monitoring = Monitoring(engine)
        self.saved_queries = SavedQueries(engine)
        self.audit_log = AuditLog(engine)
