"""Find, start and cancel audits for the key in use."""

from __future__ import annotations

import hashlib
import uuid
from typing import Any

import structlog
from flask import Request, request

from pipeline.contracts.audits import AuditRef
from pipeline.errors import IllegalMove, Unreachable
from pipeline.ledger.audit_record import AuditRecord
from pipeline.ledger.audits import AuditAtWork, RequestKey, RequestKeyReused
from pipeline.warehouse.existing_edges import with_tables
from web.app_context import app_context
from web.http.auth import key_in_use
from web.http.problems import Problem, no_table
from web.services import key_scope
from web.services.uploads import request_key

log = structlog.get_logger(__name__)


def find_audit(dataset: str, audit_id: str) -> AuditRecord:
    """Return the audit of that id. Raises UnknownDataset, or Problem if the dataset has no such audit."""
    found = key_scope.audit_of(dataset, audit_id)
    if found is None:
        said = f"The dataset {dataset} has no audit {audit_id!r}. GET /v1/datasets/{dataset}/audits lists all of them."
        raise Problem("unknown_audit", said)
    return found


def start_audit(dataset: str, asked: Request | None = None) -> tuple[AuditRecord, bool]:
    """Request an audit of a dataset; return it, and whether an earlier request with the same idempotency key made it.

    Raises UnknownDataset; Problem if the dataset has no table, or has an audit that has not ended.
    """
    known = key_scope.dataset(dataset)
    if known.name not in with_tables(app_context().engine, [known.name]):
        raise no_table(known.name)
    key, audit_id = key_in_use(), str(uuid.uuid4())
    try:
        opened = app_context().ledger.audits.open(audit_id, dataset=known.name, created_by=key.id, once=_once(asked))
    except AuditAtWork as error:
        at_work = f"{request.host_url}v1/datasets/{known.name}/audits/{error.audit_id}"
        said = f"An audit of {known.name} has not ended: {error.audit_id}. Wait for it, or cancel it."
        raise Problem("audit_at_work", said, audit_id=error.audit_id, audit=at_work) from error
    except RequestKeyReused as error:
        raise Problem("idempotency_mismatch", str(error)) from error
    if opened == audit_id:
        _begin(AuditRef(audit_id, known.name))
    return find_audit(known.name, opened), opened != audit_id


def _once(asked: Request | None) -> RequestKey | None:
    """Return the request's idempotency key, None without one. Raises Problem if it is too long."""
    value = request_key(asked) if asked is not None else ""
    if asked is None or not value:
        return None
    fingerprint = hashlib.sha256(f"{asked.method}\n{asked.path}".encode("utf-8", "surrogatepass")).hexdigest()
    return RequestKey(key_in_use().id, value, fingerprint)


def _begin(ref: AuditRef) -> None:
    try:
        app_context().temporal.audit(ref)
    except Unreachable as error:
        log.warning("audit not started yet", audit_id=ref.audit_id, error=str(error))  # reconciliation will start it


def cancel_audit(one: AuditRecord) -> AuditRecord:
    """Cancel an audit. Raises Problem if it has ended."""
    try:
        app_context().ledger.audits.cancel(one.id)
    except IllegalMove as error:
        raise Problem("audit_ended", str(error)) from error
    try:
        app_context().temporal.cancel_audit(one.ref)
    except Unreachable as error:
        log.warning("cancel not signaled", audit_id=one.id, error=str(error))  # the audit reads the ledger every second
    return find_audit(one.dataset, one.id)


def shown_audit(one: AuditRecord) -> dict[str, Any]:
    """Return an audit as the API shows it."""
    return one.to_json(request.host_url)
