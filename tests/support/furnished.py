"""An app with something on each of its pages: an import in every state, findings of most kinds, a tree of records."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg

from pipeline.adapters.s3 import Store
from pipeline.contracts.audits import AuditState, AuditStep
from pipeline.contracts.options import Options
from pipeline.contracts.states import State
from pipeline.datasets.dataset import load_dataset
from pipeline.ledger.audit_log import ANONYMOUS, Action, Actor, Event, Result
from pipeline.settings import Settings
from tests.support.audited_table import audit_text
from tests.support.rejected_import import reject_file
from web.app_context import AppContext

BROKEN = (
    "id,parentId,name,kind\n"
    "XA,,Atlantis,Country\n"
    "XA,,Atlantis Nova,Country\n"
    ",XA,Nameless,Province\n"
    "XA-1,XB,Lost Valley,Province\n"
    "XC,XC-2,Penrose,Country\n"
    "XC-1,XC,Ascending,Region\n"
    "XC-2,XC-1,Descending,Region\n"
    "XD,XD,Ouroboros,Country\n"
    "XE,XE-1,Castor,Country\n"
    "XE-1,XE,Pollux,Country\n" + "".join(f"Y{i},Y{(i + 1) % 12},Link {i},Chain\n" for i in range(12))
)
DAMAGED = (
    "XA,,Atlantis,Country,ATL,900,\n"
    "XA-1,XB,Lost Valley,Province,,,\n"
    "XC,XC-2,Penrose,Country,PEN,,\nXC-1,XC,Ascending,Region,,,\nXC-2,XC-1,Descending,Region,,,\n"
    "XD,XD,Ouroboros,Country,OUR,,\n"
    "paris,XA,Paris,,,,\n" + "".join(f"X{chr(65 + i % 26)}-L{i},XA,Place {i},Province,,,\n" for i in range(40))
)
"""A table of places in which other clients broke what an import would have kept."""

SQL = 'select id, "parentId", name from records order by id'


def furnish(edges: AppContext, store: Store, settings: Settings, folder: Path) -> dict[str, str]:
    """Fill the ledger, the store and the warehouse; the paths of the pages that there are, by name."""
    broken = reject_file(edges, store, folder, BROKEN)
    _keep_file(store, settings, broken)
    imports = {"rejected": broken, **{name: _moved(edges, name, way) for name, way in _WAYS.items()}}
    loaded = imports["partially succeeded"]
    with psycopg.connect(settings.database_url) as connection:
        for name, done in (("loading", 3), ("paused", 2), ("partially succeeded", 1)):
            parts = "insert into ledger.part select %s, n, 1000, 700, 200, 99, 1 from generate_series(1, %s) n"
            connection.execute(parts, (imports[name], done))
        connection.execute(
            "insert into ledger.failure (import_id, _row, part_no, batch_no, id, code, message)"
            " values (%s, 7, 1, 1, 'M-7', 'check_violation', 'The warehouse refused it.')",
            (loaded,),
        )
        with connection.cursor() as cursor:
            cursor.executemany(
                'insert into warehouse.records (id, "parentId", name, _import_id, _row) values (%s, %s, %s, %s, 1)',
                [(id_, parent, name, loaded) for id_, parent, name in _records()],
            )
        for label, revoked in (("Power BI", None), ("DBeaver", datetime.now(UTC))):
            connection.execute(
                "insert into access.database_login"
                " (id, role, reader, label, owner_kind, owner_id, owner_name, datasets, unmask, expires_at, revoked_at,"
                " revoked_because) values (gen_random_uuid(), %s, 'x', %s, 'key', gen_random_uuid(), 'an analyst', '{places}',"
                " false, 'tomorrow', %s, 'It has expired.')",
                (f"bulkhead_login_{uuid.uuid4().hex[:16]}", label, revoked),
            )
    edges.numbers.count(load_dataset("records"), seconds=60)
    edges.ledger.deliveries.open(broken, "webhook", "https://hooks.example/services/T0123", "msg_1")
    edges.ledger.deliveries.record_attempt(broken, "webhook", "https://hooks.example/services/T0123", "It answered 500.")
    edges.recipients.add("https://hooks.example/places", ["places"])
    edges.recipients.switch_off(
        edges.recipients.add("https://hooks.example/gone"), "The webhook's receiver says that it is gone (410)."
    )
    key_id = _keys_and_events(edges, broken)
    audited = audit_text(edges, store, folder / "audited", DAMAGED, created_by=key_id)
    return {**_paths(imports), **_audit_paths(audited, _audits(edges, key_id))}


def _keep_file(store: Store, settings: Settings, broken: str) -> None:
    """Store the rejected file itself, so that it can be corrected."""
    key = f"incoming/places/{broken}/x"
    store.put_bytes(key, BROKEN.encode())
    stored = store.head(key)
    assert stored is not None
    with psycopg.connect(settings.database_url) as connection:
        connection.execute("update ledger.import set etag = %s where id = %s", (stored.etag, broken))


def _audits(edges: AppContext, key_id: str) -> dict[str, str]:
    """Audits of the records, by what became of them; only the last one has not ended."""
    made, attempt = {}, datetime.now(UTC)
    for name in ("clean", "failed", "canceled", "running"):
        one = edges.ledger.audits.open(
            str(uuid.uuid4()), dataset="records", created_by=None if name == "clean" else key_id, scheduled=name == "clean"
        )
        made[name] = one
        if name in ("clean", "failed", "running"):
            edges.ledger.audits.take_up(one, attempt)
        if name == "clean":
            rules = [{"rule": "No record is its own parent.", "severity": "error", "met": True, "records": 0, "percent": 0.0}]
            counts = {"records": 67, "invalid": 0, "errors": 0, "warnings": 0}
            edges.ledger.audits.succeed(one, attempt, summary={**counts, "rules": rules}, reading={"format": "table"})
        elif name == "failed":
            edges.ledger.audits.end(one, AuditState.FAILED, "The dataset records has no table yet. Run bulkhead migrate.")
        elif name == "running":
            edges.ledger.audits.note(one, attempt, AuditStep.READING, 1_234_567)
        else:
            edges.ledger.audits.cancel(one)
    return made


def _audit_paths(audited: str, others: dict[str, str]) -> dict[str, str]:
    places, records = f"/datasets/places/audits/{audited}", "/datasets/records/audits"
    return {
        "audits": "/datasets/places/audits",
        "audits, one runs": records,
        "audit": places,
        **{f"audit, {name}": f"{records}/{audit_id}" for name, audit_id in others.items()},
        "audit's findings": f"{places}/findings",
        "audit's findings, found": f"{places}/findings?q=XB",
        "audit's report": f"{places}/report",
    }


def _keys_and_events(edges: AppContext, import_id: str) -> str:
    """Make keys and events of the audit log; return the ID of a key."""
    soon = datetime.now(UTC) + timedelta(days=3)
    _, key = edges.keys.create("nightly export", "uploader", ["places"], expires_at=soon)
    edges.keys.rotate(key.id, overlap=timedelta(days=7))
    edges.keys.create("in an emergency", "admin", is_break_glass=True)
    by = Event(
        Action.DOWNLOAD, Actor("key", key.id, key.name), "import", import_id, address="192.0.2.17", user_agent="curl/8.5.0"
    )
    edges.ledger.audit_log.record(replace(by, status=200, details={"what": "findings", "format": "csv"}))
    refused = replace(by, action=Action.CANCEL, result=Result.REFUSED, status=409, reason="already_finished")
    edges.ledger.audit_log.record(refused)
    failed = Event(Action.SIGN_IN_FAILED, ANONYMOUS, result=Result.REFUSED, status=401, reason="unknown key")
    edges.ledger.audit_log.record(replace(failed, address="2001:db8::17", details={"how": "key"}))
    edges.ledger.audit_log.record(replace(by, action=Action.EXPORT, result=Result.FAILED, status=503, reason="unreachable"))
    return key.id


_WAYS: dict[str, tuple[State, ...]] = {
    "queued": (State.QUEUED,),
    "waiting": (State.QUEUED,),
    "awaiting upload": (State.AWAITING_UPLOAD,),
    "validating": (State.QUEUED, State.VALIDATING),
    "loading": (State.QUEUED, State.VALIDATING, State.PREPARING, State.LOADING),
    "paused": (State.QUEUED, State.VALIDATING, State.PREPARING, State.LOADING, State.PAUSED),
    "succeeded": (State.QUEUED, State.VALIDATING, State.PREPARING, State.LOADING, State.SUCCEEDED),
    "partially succeeded": (State.QUEUED, State.VALIDATING, State.PREPARING, State.LOADING, State.PARTIALLY_SUCCEEDED),
    "validated": (State.QUEUED, State.VALIDATING, State.VALIDATED),
    "failed": (State.QUEUED, State.VALIDATING, State.FAILED),
    "canceled": (State.QUEUED, State.CANCELED),
}


def _moved(edges: AppContext, name: str, way: tuple[State, ...]) -> str:
    """An import that went this way."""
    import_id = str(uuid.uuid4())
    options = Options(dry_run=name == "validated")
    filename = f"{name}.csv"
    key = f"incoming/records/{import_id}/{filename}"
    edges.ledger.imports.open(
        import_id,
        dataset="records",
        filename=filename,
        bucket="b",
        key=key,
        state=way[0],
        size_bytes=9_000_000,
        options=options,
    )
    with edges.engine.begin() as connection:  # more is at work than a real ledger lets be
        connection.exec_driver_sql("drop index if exists ledger.import_at_work")
    counts = {"records_total": 4000, "records_valid": 4000, "parts_total": 4} if len(way) > 2 else {}
    for state in way[1:]:
        edges.ledger.imports.move(import_id, state, **(counts if state is not State.VALIDATING else {}))
    if name == "validated":
        edges.ledger.imports.update(import_id, preview={"inserted": 3000, "updated": 900, "unchanged": 100, "moved": 5})
    return import_id


def _records() -> Iterable[tuple[str, str | None, str]]:
    yield "M", None, "Machine"
    for i in range(3):
        yield f"M-{i}", "M", f"Assembly {i}"
        yield from ((f"M-{i}-{j}", f"M-{i}", f"Part {i}{j}") for j in range(60 if i == 1 else 2))


def _paths(imports: dict[str, str]) -> dict[str, str]:
    broken = imports["rejected"]
    return {
        "upload": "/",
        "imports": "/imports",
        "imports, none like that": "/imports?text=nothing+is+called+so&state=failed&since=2026-01-01&until=2026-01-02",
        **{f"import, {name}": f"/imports/{import_id}" for name, import_id in imports.items()},
        "findings": f"/imports/{broken}/findings",
        "findings of a code": f"/imports/{broken}/findings?code=circular_reference",
        "findings, found": f"/imports/{broken}/findings?q=XB",
        "findings, none": f"/imports/{broken}/findings?q=nothing",
        "report": f"/imports/{broken}/report",
        "data docs": f"/v1/imports/{broken}/report/",
        "datasets": "/datasets",
        "dataset": "/datasets/places",
        "new dataset": "/datasets/new",
        "validations": "/datasets/places/validations",
        "validations, older": f"/datasets/places/validations?before={broken}",
        "suite": "/datasets/places/suite",
        "tree": "/datasets/records/records",
        "tree, below": "/datasets/records/records?under=M-1",
        "tree, not found": "/datasets/records/records?id=nothing",
        "tree, empty": "/datasets/places/records",
        "tree, open": "/datasets/records/records?levels=all&column=attributes",
        "search": "/datasets/records/records?search=part&column=attributes",
        "search, none": "/datasets/records/records?search=nothing",
        "hierarchy": "/datasets/records/hierarchy",
        "hierarchy, not counted": "/datasets/places/hierarchy",
        "record": "/datasets/records/records/M-1",
        "SQL": "/sql",
        "SQL, no history": "/sql/history",
        "connect": "/connect",
        "keys": "/admin/keys",
        "webhooks": "/admin/webhooks",
        "audit log": "/admin/audit-log",
        "audit log, filtered": "/admin/audit-log?action=key_created&result=ok&since=2026-01-01",
        "audit log, none": "/admin/audit-log?actor=nothing",
        "settings": "/admin/settings",
        "API, quick start": "/docs/quick-start",
        "API, webhooks": "/docs/webhooks",
        "API, errors": "/docs/errors",
        "API, a read tried": "/docs/try/records_list_records?send=1&dataset=records&limit=3",
        "problems": "/problems",
        "a problem": "/imports/nothing",
    }
