"""Load one part idempotently: under a lease with a fencing token, in one transaction with the part's row in the ledger.

An attempt acquires a **lease** on its part first, in a transaction of its own: a row of ``ledger.claim`` with a **fencing
token** that only grows. The transaction that follows writes the part's records, its failures and its row in the ledger, and
ends by releasing the lease with that token. If a later attempt has acquired the lease meanwhile, the token is void: the
earlier attempt raises Superseded, and nothing of its transaction stays, however long it slept (docs/decisions/0009).

A retry after a commit whose answer was lost finds the part's row in the ledger and changes nothing (docs/decisions/0006).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from pipeline.contracts.messages import PartResult
from pipeline.contracts.states import State
from pipeline.datasets.dataset import Dataset
from pipeline.errors import InternalInconsistency, NotLoading, PartsLost, Rewound, Superseded
from pipeline.load.arriving import Connection, PartLoad
from pipeline.load.failures import Failure, has_failures, record_failures
from pipeline.load.isolate import load_by_batches
from pipeline.load.part_file import PartFile, read_records
from pipeline.load.transaction import converted_errors, transaction
from pipeline.load.upsert import load_at_once
from pipeline.telemetry import metrics, tracing
from pipeline.telemetry.catalog import PARTS, RECORDS
from pipeline.warehouse import foreign_writes

NOT_YET = (State.AWAITING_UPLOAD, State.QUEUED, State.VALIDATING, State.PREPARING)
"""States before loading. If a part is being loaded in one of them, the ledger has lost later states."""

Beat = Callable[[], None]


def load_part(connection: Connection, dataset: Dataset, part: PartFile, *, beat: Beat = lambda: None) -> PartResult:
    """Upsert a part into the dataset's table; what cannot be loaded is isolated and entered as a failure.

    Takes two transactions of ``connection``, which must be in none. Raises, with nothing written: DamagedPart if the file is
    not the one in the manifest; Unreachable for what passes by itself; Superseded if a later attempt has acquired the lease;
    NotLoading if the import is not being loaded (any more), Rewound if not yet; PartsLost if one of the parts up to
    ``part.needed`` is not loaded; SystemFault if the warehouse is not as it should be (a table is missing, for instance).
    """
    return _write_under_lease(connection, dataset, part, write_records, beat)


def fail_part(
    connection: Connection, dataset: Dataset, part: PartFile, *, code: str, reason: str, beat: Beat = lambda: None
) -> PartResult:
    """Enter every record of a part as a failure with ``code`` and ``reason``; their descendants will fail too.

    For a part whose stored file is damaged; ``part.path`` is one made again. Raises as load_part does.
    """
    return _write_under_lease(connection, dataset, part, partial(_fail_records, code=code, reason=reason), beat)


def _write_under_lease(
    connection: Connection, dataset: Dataset, part: PartFile, write: Callable[[PartLoad], PartResult], beat: Beat
) -> PartResult:
    """Do ``write`` and enter its result in one transaction, unless an earlier attempt has done so."""
    with tracing.span("read part", import_id=part.import_id, part=part.part_no):
        load = PartLoad(connection, read_records(part.path, dataset, part.sha256), part.import_id, part.part_no)
    beat()  # an attempt that slept until now is canceled here, before it takes the lease from the attempt that replaced it
    writing = tracing.span("write part", import_id=part.import_id, dataset=dataset.name, part=part.part_no, records=load.size)
    with writing as span, converted_errors():
        token = acquire_lease(load)
        with transaction(connection):
            known = known_result(load, part.sha256)
            if known:
                return known
            _require_earlier_parts(load, part.needed)
            result = enter_result(load, part.sha256, token, write(load))
        span.set(**vars(result))
    _count(dataset.name, result)
    return result


def _count(dataset: str, result: PartResult) -> None:
    """Count a part that was committed just now."""
    metrics.count(PARTS, dataset=dataset)
    for outcome, number in vars(result).items():
        metrics.count(RECORDS, number, dataset=dataset, outcome=outcome)


def acquire_lease(load: PartLoad) -> int:
    """Acquire the lease on the part, taking it from an earlier attempt, and commit; return the fencing token.

    An attempt that sleeps inside its transaction holds the part's advisory lock: its session is terminated.
    """
    with load.connection.transaction():
        row = load.run("lease").fetchone()
        state = load.run("state").fetchone() if row is None else None
    if state is not None and state[0] in NOT_YET:
        raise Rewound
    if row is None:
        raise NotLoading(f"The import is not being loaded, so part {load.part_no} is not either.")
    load.run("end_sleeper")
    load.connection.commit()
    return int(row[0])


def known_result(load: PartLoad, sha256: str) -> PartResult | None:
    """Lock the part, waiting for another attempt that holds the lock, and return what an earlier attempt committed, if any."""
    load.run("lock")
    row = load.run("known").fetchone()
    if row is None:
        return None
    *counts, loaded = row
    if loaded not in ("", sha256):
        raise InternalInconsistency(f"Part {load.part_no} was cut differently when it was loaded. Upload the file again.")
    return PartResult(*counts)


def write_records(load: PartLoad) -> PartResult:
    """Load all records at once if nothing stands against it, otherwise batch by batch."""
    changed = foreign_writes.was_changed(load.connection, load.import_id)
    done = None if changed or has_failures(load) else load_at_once(load)
    return done or load_by_batches(load, check_parents=changed)


def _fail_records(load: PartLoad, *, code: str, reason: str) -> PartResult:
    record_failures(load, [Failure(place, code, reason) for place in range(load.size)])
    return PartResult(failed=load.size)


def _require_earlier_parts(load: PartLoad, needed: int) -> None:
    """Raise PartsLost if one of the parts up to ``needed``, which have the parents of these records, is not loaded.

    They were loaded before this part was begun: a failover has lost their commits since.
    """
    row = load.run("earlier_parts", needed=needed).fetchone()
    if needed and row is not None and row[0] != needed:
        raise PartsLost


def enter_result(load: PartLoad, sha256: str, token: int, result: PartResult) -> PartResult:
    """Enter the part's row in the ledger and release the lease. Raises Superseded if the token is void."""
    load.run(
        "entry",
        checksum=sha256,
        records=load.size,
        inserted=result.inserted,
        updated=result.updated,
        unchanged=result.unchanged,
        failed=result.failed,
    )
    if load.run("release_lease", token=token).rowcount != 1:
        raise Superseded(f"Another attempt has taken over part {load.part_no}, or the import is over.")
    return result
