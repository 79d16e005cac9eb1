"""An app with something on each of its pages: an import in every state, findings of most kinds, a tree of records."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from pathlib import Path

import psycopg

from pipeline.adapters.s3 import Store
from pipeline.contracts.options import Options
from pipeline.contracts.states import State
from pipeline.settings import Settings
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
SQL = 'select id, "parentId", name from records order by id'


def furnish(edges: AppContext, store: Store, settings: Settings, folder: Path) -> dict[str, str]:
    """Fill the ledger, the store and the warehouse; the paths of the pages that there are, by name."""
    broken = reject_file(edges, store, folder, BROKEN)
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
    edges.ledger.deliveries.open(broken, "webhook", "https://hooks.example/services/T0123", "msg_1")
    edges.ledger.deliveries.record_attempt(broken, "webhook", "https://hooks.example/services/T0123", "It answered 500.")
    edges.recipients.add("https://hooks.example/places", ["places"])
    edges.recipients.switch_off(
        edges.recipients.add("https://hooks.example/gone"), "The webhook's receiver says that it is gone (410)."
    )
    edges.keys.create("nightly export", "uploader")
    return _paths(imports)


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
        "validations": "/datasets/places/validations",
        "tree": "/datasets/records/records",
        "tree, below": "/datasets/records/records?under=M-1",
        "tree, not found": "/datasets/records/records?id=nothing",
        "tree, empty": "/datasets/places/records",
        "record": "/datasets/records/records/M-1",
        "SQL": "/sql",
        "keys": "/admin/keys",
        "webhooks": "/admin/webhooks",
        "settings": "/admin/settings",
        "problems": "/problems",
        "a problem": "/imports/nothing",
    }
