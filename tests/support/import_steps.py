"""Upload a file with options, pause it, promote it and wait for its end, as the API does it."""

from __future__ import annotations

import io
import time

import uuid_utils

from pipeline.contracts.messages import ObjectArrived
from pipeline.contracts.object_keys import incoming_key
from pipeline.contracts.options import OnError, Options
from pipeline.contracts.states import State
from pipeline.ledger.models import ImportRecord
from tests.support.bulkhead import Bulkhead
from tests.support.waiting import pauses, wait_until

QUARANTINE = Options(on_error=OnError.QUARANTINE)
DRY_RUN = Options(dry_run=True)
ORPHANS = """select count(*) from warehouse.records as child
    left join warehouse.records as parent on child."parentId" = parent.id
    where child."parentId" is not null and parent.id is null"""


def upload(bulkhead: Bulkhead, text: str, options: Options, *, wait: bool = True, dataset: str = "records") -> ImportRecord:
    """Upload a file as the API does it: the ledger first, then the object, then its event."""
    import_id = str(uuid_utils.uuid7())
    key = incoming_key(dataset, import_id, "a.csv")
    bucket = bulkhead.store.bucket
    bulkhead.ledger.imports.open(import_id, dataset=dataset, filename="a.csv", bucket=bucket, key=key, options=options)
    stored = bulkhead.store.put_stream(key, io.BytesIO(text.encode()))
    bulkhead.ledger.uploads.complete(import_id, size_bytes=stored.size_bytes, sha256=stored.sha256, etag=stored.etag)
    bulkhead.orchestrator.announce(ObjectArrived(bucket, key))
    return ended(bulkhead, import_id) if wait else known(bulkhead, import_id)


def known(bulkhead: Bulkhead, import_id: str) -> ImportRecord:
    """Return the import, which must be there."""
    found = bulkhead.ledger.imports.get(import_id)
    assert found is not None
    return found


def ended(bulkhead: Bulkhead, import_id: str, seconds: float = 300.0) -> ImportRecord:
    """Wait for the end of the import and return it."""
    for pause in pauses(seconds):
        if (one := known(bulkhead, import_id)).state.is_final:
            return one
        time.sleep(pause)
    raise AssertionError(f"not over after {seconds} s: {one}")


def promote(bulkhead: Bulkhead, import_id: str) -> ImportRecord:
    """Promote a dry run as the API does it, and return the import when it is over."""
    one = known(bulkhead, import_id)
    bulkhead.ledger.imports.promote(import_id)
    bulkhead.orchestrator.announce(ObjectArrived(one.bucket, one.key, one.id))
    return ended(bulkhead, import_id)


def slow(bulkhead: Bulkhead, seconds: float = 0.2) -> None:
    """Make each insert of records take so long from now on."""
    with bulkhead.engine.begin() as connection:
        connection.exec_driver_sql(
            f"""create or replace function slow() returns trigger language plpgsql as
            $$ begin perform pg_sleep({seconds}); return null; end $$"""
        )
        connection.exec_driver_sql(
            "create or replace trigger slow before insert on warehouse.records for each statement execute function slow()"
        )


def pause(bulkhead: Bulkhead, import_id: str, *, wanted: bool) -> None:
    """Pause or resume an import as the API does it."""
    bulkhead.ledger.imports.pause(import_id, wanted=wanted)
    bulkhead.orchestrator.pause(import_id, wanted=wanted)


def paused_before_loading(bulkhead: Bulkhead, text: str) -> ImportRecord:
    """Return an import whose parts are stored, and which is paused before the first one is loaded."""
    one = upload(bulkhead, text, Options(), wait=False)
    pause(bulkhead, one.id, wanted=True)
    wait_until(lambda: known(bulkhead, one.id).state is State.PAUSED)
    assert known(bulkhead, one.id).parts_done == 0
    return known(bulkhead, one.id)


def flipped(data: bytes) -> bytes:
    """Return the data with one bit changed."""
    return data[:300] + bytes([data[300] ^ 1]) + data[301:]
