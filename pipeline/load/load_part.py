"""One part -> an idempotent upsert; what cannot be loaded is found, named and set aside, record by record.

Everything that happens to a part is one transaction: its records, those the warehouse refused, and its row in the ledger. A
retry after a commit whose answer was lost finds that row and changes nothing (docs/decisions/0006).

Who loads a part has claimed it before, and gives the claim back in that transaction. Whoever claims it later takes the claim
away: an attempt that slept past its heartbeat finds it gone, and writes nothing (docs/decisions/0009).
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
from psycopg.sql import SQL, Composable, Composed, Identifier
from psycopg.types.json import Jsonb

from pipeline.adapters.postgres_errors import Kind, as_ours, in_words, kind_of, sqlstate_of
from pipeline.contracts.messages import DryRunCounts, PartResult
from pipeline.contracts.states import State
from pipeline.datasets.dataset import Column, Dataset
from pipeline.errors import DamagedPart, InternalInconsistency, NotLoading, PartsLost, Rewound, Superseded, Unreachable
from pipeline.sqlfiles import load as query_text
from pipeline.warehouse import foreign_writes

Connection = psycopg.Connection[Any]

CARRIED = ("_batch", "_row")
"""What a part holds beside the dataset's columns: the number of the batch, and of the row in the file."""

NO_SUCH_COLUMN = "42703"
"""The part has a column that the table will have after ``bulkhead migrate``: until then it waits."""

SAMPLE = 64
"""Of a part's records so many are looked up to see whether it seems to be new."""

STATEMENT_SECONDS = 1200
"""For each statement of a part: what takes longer than this is stuck."""

NOT_YET = (State.AWAITING_UPLOAD, State.QUEUED, State.VALIDATING, State.PREPARING)
"""Where an import stands before any part of it may be loaded. If a part is being loaded, the ledger has forgotten something."""

SLICE_BYTES = 8 << 20
"""Bytes of values that are made into the text of COPY, or into failures, at once; one record may be longer."""

VALUE_BYTES = 16
"""What a value is reckoned with beside its text."""


@dataclass
class _Counts:
    """What became of records so far."""

    inserted: int = 0
    updated: int = 0
    unchanged: int = 0

    def add(self, inserted: int, updated: int, of: int) -> None:
        self.inserted += inserted
        self.updated += updated
        self.unchanged += of - inserted - updated


def load_part(
    connection: Connection,
    dataset: Dataset,
    path: Path,
    *,
    import_id: str,
    part_no: int,
    sha256: str,
    needed: int = 0,
    beat: Callable[[], None] = lambda: None,
) -> PartResult:
    """Upsert the part in ``path`` into the dataset's table, in one transaction of ``connection``, which must be in none.

    Raises DamagedPart if the file is not what the manifest says; Unreachable for what may pass by itself; Superseded if another
    attempt came after this one; NotLoading if the import is not being loaded (any more), Rewound if it is not yet; PartsLost if
    not all parts up to ``needed`` are loaded; SystemFault if the warehouse is not as it should be (a table is missing, say).
    Then nothing is written.
    """
    part = _Part(connection, dataset, _read(path, dataset, sha256), import_id, part_no, sha256)
    beat()  # an attempt that slept until here is told so, before it takes the part away from the one that came after it
    with _told_apart():
        claim = part.claim()
        with part.transaction():
            return part.known_result() or part.load(claim, needed)


def give_up_part(
    connection: Connection,
    dataset: Dataset,
    path: Path,
    *,
    import_id: str,
    part_no: int,
    sha256: str,
    code: str,
    reason: str,
    needed: int = 0,
    beat: Callable[[], None] = lambda: None,
) -> PartResult:
    """Enter every record of the part in ``path`` as a failure, with ``code`` and ``reason``: its descendants fail too.

    For a part that cannot be loaded as it is stored; ``path`` is one made again. Raises as load_part does.
    """
    part = _Part(connection, dataset, _read(path, dataset, sha256), import_id, part_no, sha256)
    beat()
    with _told_apart():
        claim = part.claim()
        with part.transaction():
            return part.known_result() or part.give_up(claim, code, reason, needed)


def preview(
    connection: Connection, dataset: Dataset, parts: Iterable[tuple[Path, str]], *, beat: Callable[[], None] = lambda: None
) -> DryRunCounts:
    """What loading ``parts`` (files, each with its SHA-256) would do, exactly and without doing any of it.

    One transaction of ``connection``, rolled back, a part. Raises as load_part does.
    """
    foreseen = DryRunCounts()
    for path, sha256 in parts:
        part = _Part(connection, dataset, _read(path, dataset, sha256), "", 0, sha256)
        with _told_apart(), part.transaction(force_rollback=True):
            foreseen += part.preview()
        beat()
    return foreseen


def _read(path: Path, dataset: Dataset, sha256: str) -> pa.Table:
    """The part's records, if they are what was stored. Raises DamagedPart."""
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        raise DamagedPart(f"it has {path.stat().st_size:,} bytes whose checksum is not the manifest's")
    try:
        table = pq.read_table(path, page_checksum_verification=True)
    except (pa.ArrowException, OSError) as error:
        raise DamagedPart(f"it cannot be read: {error}") from error
    if not _fits(dataset, set(table.column_names)):
        raise DamagedPart(f"its columns are {', '.join(table.column_names)}; the table's are {', '.join(dataset.names)}")
    return table


def _fits(dataset: Dataset, names: set[str]) -> bool:
    """The table has all the part's columns, and what it has beyond them it was given after the part was cut."""
    later = [column for column in dataset.columns if column.name not in names]
    return (
        names <= {*CARRIED, *dataset.names}
        and names >= {*CARRIED, dataset.key, dataset.parent}
        and all(column.may_be_absent for column in later)
    )


@contextmanager
def _told_apart() -> Iterator[None]:
    """Errors of PostgreSQL as ours (database_errors.py); a column that is still to come is waited for."""
    try:
        yield
    except psycopg.Error as error:
        if sqlstate_of(error) == NO_SUCH_COLUMN:
            said = in_words(error)
            raise Unreachable(f"The table is not yet as its file declares it; run bulkhead migrate: {said}.") from error
        raise as_ours(error) from error


@dataclass
class _Part:
    """One part on its way. ``arriving`` is its temporary table, with a place for each record in parents-first order."""

    connection: Connection
    dataset: Dataset
    table: pa.Table
    import_id: str
    part_no: int
    sha256: str
    counts: _Counts = field(default_factory=_Counts)
    failed: int = 0
    arrived: bool = False  # there is an ``arriving``
    changed_meanwhile: bool = False  # another client has written to the table since the file was validated

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """The dataset's columns that the part has. Others, which the table was given later, keep the values they have."""
        return tuple(column for column in self.dataset.columns if column.name in self.table.column_names)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """What they are called."""
        return tuple(column.name for column in self.columns)

    # --- the way of a part ---

    @contextmanager
    def transaction(self, *, force_rollback: bool = False) -> Iterator[None]:
        """One transaction of the part's connection, with the time that its statements may take."""
        with self.connection.transaction(force_rollback=force_rollback):
            self.connection.execute(f"set local statement_timeout = {STATEMENT_SECONDS * 1000}")
            yield

    def claim(self) -> int:
        """Take the part over from another attempt, in a transaction of its own; returns the token that ``_enter`` asks for.

        An attempt that sleeps inside its transaction holds the part's lock: its session is ended.
        """
        with self.connection.transaction():
            row = self._run("load/lease", import_id=self.import_id, part_no=self.part_no).fetchone()
            state = self._run("load/state", import_id=self.import_id).fetchone() if row is None else None
        if state is not None and state[0] in NOT_YET:
            raise Rewound
        if row is None:
            raise NotLoading(f"The import is not being loaded, so part {self.part_no} is not either.")
        self._run("load/end_sleeper", import_id=self.import_id, part_no=self.part_no)
        self.connection.commit()
        return int(row[0])

    def known_result(self) -> PartResult | None:
        """What an earlier attempt wrote. Of two attempts at once the second one waits here."""
        self._run("load/lock", import_id=self.import_id, part_no=self.part_no)
        row = self._run("load/known", import_id=self.import_id, part_no=self.part_no).fetchone()
        if row is None:
            return None
        *counts, sha256 = row
        if sha256 not in ("", self.sha256):
            raise InternalInconsistency(f"Part {self.part_no} was cut differently when it was loaded. Upload the file again.")
        return PartResult(*counts)

    def load(self, claim: int, needed: int) -> PartResult:
        """All at once if nothing stands against it, else batch by batch."""
        self._demand_earlier_parts(needed)
        self.changed_meanwhile = foreign_writes.was_changed(self.connection, self.import_id)
        if self.changed_meanwhile or self._has_failures() or not self._load_at_once():
            self._load_by_batches()
        return self._enter(claim)

    def give_up(self, claim: int, code: str, reason: str, needed: int) -> PartResult:
        """None of the records is loaded."""
        self._demand_earlier_parts(needed)
        self._fail([(place, code, "", reason) for place in range(self.table.num_rows)])
        return self._enter(claim)

    def _demand_earlier_parts(self, needed: int) -> None:
        """Raises PartsLost if one of the parts up to ``needed``, with the parents of these records, is not in the warehouse.

        They were, or this one would not have been begun: a failover has lost the commits since.
        """
        row = self._run("load/earlier_parts", import_id=self.import_id, needed=needed).fetchone()
        if needed and row is not None and row[0] != needed:
            raise PartsLost

    def _enter(self, claim: int) -> PartResult:
        """The part's row in the ledger, and the claim given back: who cannot give it back has lost it, and must not commit."""
        result = PartResult(self.counts.inserted, self.counts.updated, self.counts.unchanged, self.failed)
        self._run(
            "load/entry",
            import_id=self.import_id,
            part_no=self.part_no,
            checksum=self.sha256,
            records=self.table.num_rows,
            inserted=result.inserted,
            updated=result.updated,
            unchanged=result.unchanged,
            failed=result.failed,
        )
        given_back = self._run("load/give_back_lease", import_id=self.import_id, part_no=self.part_no, token=claim)
        if given_back.rowcount != 1:
            raise Superseded(f"Another attempt has taken over part {self.part_no}, or the import is over.")  # the next one sees
        return result

    def _load_at_once(self) -> bool:
        """False if the warehouse refuses something; then nothing is written.

        Where the table seems to have none of the records they go straight into it, in half the time of an upsert
        (docs/performance.md). If it has one after all, they are looked up.
        """
        try:
            with self.connection.transaction():
                if not (self._looks_new() and self._insert()):
                    self._copy(typed=True)
                    self._merge()
        except psycopg.Error as error:
            if not _is_refusal(error):
                raise
            self.counts = _Counts()
            return False
        return True

    def _looks_new(self) -> bool:
        """The table has none of some records, one here and one there."""
        some = self.table.column(self.dataset.key)[:: max(1, self.table.num_rows // SAMPLE)]
        row = self._run_here("load/looks_new", ids=[str(id_) for id_ in some.to_pylist()]).fetchone()
        return bool(row and row[0])

    def _insert(self) -> bool:
        """Copy all records into the table. False if it has one of them; then nothing is written."""
        order = pc.sort_indices(self.table.column(self.dataset.key))  # as the other statements do
        try:
            with self.connection.transaction():
                inserted = self._copy_into(self._table(), ("_import_id", "_row", *self.names), self._sorted(order))
        except psycopg.errors.UniqueViolation:
            return False
        self.counts.add(inserted, 0, self.table.num_rows)
        return True

    def _sorted(self, order: pa.Array) -> Iterator[pa.Table]:
        """The records in ``order``, with their import, slice by slice: all of them sorted would take their memory again."""
        for first, last in _slices(self._sizes.take(order)):
            some = self.table.take(order.slice(first, last - first))
            yield some.append_column("_import_id", pa.array([self.import_id] * some.num_rows))

    @cached_property
    def _sizes(self) -> pa.Array:
        """About how many bytes each record has."""
        sizes = pa.array([VALUE_BYTES * self.table.num_columns] * self.table.num_rows, pa.int64())
        for column in self.table.combine_chunks().columns:
            if pa.types.is_string(column.type):
                lengths = pc.fill_null(pc.binary_length(column), 0).cast(pa.int64())
                sizes = pc.add(sizes, lengths.combine_chunks())
        return sizes

    def _merge(self) -> None:
        """Look up every record: rewrite those that changed, insert those that are new."""
        self._run_here("load/by_index")
        row = self._run_here("load/compare").fetchone()
        assert row is not None
        new, changed = row
        updated = self._run_here("load/update").rowcount if changed else 0
        inserted = self._run_here("load/insert_new").rowcount if new else 0
        self.counts.add(inserted, updated, self.table.num_rows)

    def _load_by_batches(self) -> None:
        self._copy(typed=False)
        for first, last in _ranges(self.table.column("_batch").to_pylist()):
            self._isolate(first, last)

    def _isolate(self, first: int, last: int, *, refused: bool = False) -> bool:
        """Load the records at places first..last-1; if the warehouse refuses them, halve, down to the one it refuses.

        True if all were loaded. ``refused``: it is known that they cannot be as a whole. The first half is done with before the
        second is begun, so that what hangs below a refused record is known by then; and where the first half held nothing bad,
        the second half need not be tried as a whole. So a batch of 200 with one bad record takes at most 15 statements.
        """
        set_aside = self._set_aside_orphans(first, last) + self._set_aside_descendants(first, last)
        if not set_aside and refused and last - first > 1:
            return self._halve(first, last)
        try:
            with self.connection.transaction():
                self._upsert(first, last)
        except psycopg.Error as error:
            if not _is_refusal(error):
                raise
            if last - first > 1:
                return self._halve(first, last)
            self._set_aside(first, error)
            return False
        return True

    def _halve(self, first: int, last: int) -> bool:
        middle = (first + last) // 2
        good = self._isolate(first, middle)
        self._isolate(middle, last, refused=good)
        return False

    def preview(self) -> DryRunCounts:
        """What ``load`` would do, but for what only the table's own constraints refuse."""
        try:
            with self.connection.transaction():
                self._copy(typed=True)
                return self._foresee(typed=True)
        except psycopg.Error as error:
            if not _is_refusal(error):
                raise
        self._copy(typed=False)
        self.connection.execute(self._drop_misfits())
        return self._foresee(typed=False)

    def _foresee(self, *, typed: bool) -> DryRunCounts:
        self.connection.execute("analyze arriving")  # or else the planner may read the whole warehouse for each part
        row = self.connection.execute(self._preview_statement(typed=typed)).fetchone()
        assert row is not None
        inserted, updated, unchanged, moved = row
        return DryRunCounts(inserted, updated, unchanged, moved, self.table.num_rows - inserted - updated - unchanged)

    # --- what is refused ---

    def _set_aside(self, place: int, error: psycopg.Error) -> None:
        self._fail([(place, "warehouse_refused", error.sqlstate or "", _in_words(error))])

    def _set_aside_descendants(self, first: int, last: int) -> int:
        """Refuse what hangs below a refused record in the tree that would result, also where the way leads through the
        warehouse: otherwise a record that could not be moved might close a circle (docs/decisions/0005). How many it were."""
        if not self._has_failures():
            return 0
        query = self._sql("load/blocked")
        ways = self.connection.execute(query, {"import_id": self.import_id, "first": first, "last": last}).fetchall()
        if not ways:
            return 0
        refused = _refused_above(ways)
        found = sorted((place, refused[node]) for node, _, _, places in ways if refused[node] for place in places)
        self._fail(
            [
                (place, "parent_failed", "", f"It hangs below the record {ancestor!r}, which could not be loaded.")
                for place, ancestor in found
            ]
        )
        return len(found)

    def _set_aside_orphans(self, first: int, last: int) -> int:
        """Refuse records whose parent another client has removed since the file was validated; return how many."""
        if not self.changed_meanwhile:
            return 0
        found = foreign_writes.orphans(self.connection, self.dataset, first, last)
        self._fail(
            [
                (place, "missing_parent", "", f"Its parent {parent!r} is not in the warehouse any more. {foreign_writes.WHAT}.")
                for place, parent in found
            ]
        )
        return len(found)

    def _has_failures(self) -> bool:
        row = self._run("load/has_failures", import_id=self.import_id).fetchone()
        return bool(row and row[0])

    def _fail(self, faults: Sequence[tuple[int, str, str, str]]) -> None:
        if not faults:
            return
        self.failed += len(faults)
        sizes = self._sizes.take(pa.array([fault[0] for fault in faults], pa.int64()))
        with self.connection.cursor() as cursor:
            for first, last in _slices(sizes):
                rows = [self._failure(*fault) for fault in faults[first:last]]
                cursor.executemany(query_text("queries/load/failure"), rows)
            if self.arrived:
                cursor.execute("delete from arriving where _place = any(%s)", ([fault[0] for fault in faults],))

    def _failure(self, place: int, code: str, sqlstate: str, message: str) -> dict[str, Any]:
        """The ledger's entry of the record at ``place``, which has its values as they would have been loaded."""
        record = {column.name: _exact(self.table.column(column.name)[place]) for column in self.columns}
        batch, row = (self.table.column(name)[place].as_py() for name in CARRIED)
        return {
            **{"import_id": self.import_id, "row": row, "part_no": self.part_no, "batch_no": batch},
            **{"id": str(record[self.dataset.key]), "code": code, "sqlstate": sqlstate, "message": message},
            "record": Jsonb(record),
        }

    # --- the statements ---

    def _copy(self, *, typed: bool) -> None:
        """Fill ``arriving``: with the warehouse's types, or as text, so that the casts too fail record by record."""
        names = [Identifier(name) for name in self.names]
        columns = SQL(", ").join(names if typed else [SQL("{}::text").format(name) for name in names])
        self.connection.execute(self._sql("load/arriving").format(columns=columns, table=self._table()))
        slices = (
            self.table.slice(first, last - first).append_column("_place", pa.array(range(first, last), pa.int32()))
            for first, last in _slices(self._sizes)
        )
        self._copy_into(Identifier("arriving"), ("_place", "_row", *self.names), slices)
        if not typed:
            self.connection.execute("create index on arriving (_place)")
        self.arrived = True

    def _copy_into(self, table: Identifier, names: Sequence[str], slices: Iterable[pa.Table]) -> int:
        """COPY the columns ``names`` of the slices, one after the other; how many records went in."""
        options = pacsv.WriteOptions(include_header=False, quoting_style="all_valid")  # a null is bare, "" is a value
        into = SQL("copy {} ({}) from stdin (format csv)").format(table, SQL(", ").join(map(Identifier, names)))
        with self.connection.cursor() as cursor:
            with cursor.copy(into) as copy:
                for records in slices:
                    text = io.BytesIO()
                    pacsv.write_csv(records.select(names), text, options)
                    copy.write(text.getbuffer())
            return cursor.rowcount

    def _upsert(self, first: int, last: int) -> None:
        """One statement for the records at places first..last-1, which are text; only changed rows are rewritten."""
        row = self._run_here("load/upsert", typed=False, first=first, last=last).fetchone()
        assert row is not None
        inserted, updated, of = row
        self.counts.add(inserted, updated, of)

    def _run_here(self, name: str, *, typed: bool = True, **values: Any) -> psycopg.Cursor[Any]:
        """Run a statement on ``arriving`` and the dataset's table; ``typed`` if ``arriving`` has the table's types."""
        others, comma = self._others(), SQL(", ")
        new = "excluded" if name == "load/upsert" else "arriving"
        statement = SQL(query_text(f"queries/{name}")).format(
            table=self._table(),
            key=Identifier(self.dataset.key),
            key_type=SQL(self._key_type()),
            columns=comma.join(Identifier(name) for name in self.names),
            values=comma.join(self._cast(typed=typed)),
            sets=comma.join(SQL("{} = {}.{}").format(name, Identifier(new), name) for name in others),
            old=comma.join(SQL("target.{}").format(name) for name in others),
            new=comma.join(SQL("{}.{}").format(Identifier(new), name) for name in others),
        )
        return self.connection.execute(statement, {"import_id": self.import_id, **values})

    def _preview_statement(self, *, typed: bool) -> Composed:
        others, comma = self._others(), SQL(", ")
        named = zip(self._cast(typed=typed), self.names, strict=True)
        return SQL(query_text("queries/load/preview")).format(
            table=self._table(),
            key=Identifier(self.dataset.key),
            parent=Identifier(self.dataset.parent),
            values=comma.join(SQL("{} as {}").format(value, Identifier(name)) for value, name in named),
            old=comma.join(SQL("target.{}").format(name) for name in others),
            new=comma.join(SQL("excluded.{}").format(name) for name in others),
        )

    def _drop_misfits(self) -> Composed:
        """Of ``arriving`` as text, drop the records with a value that its column's type does not take."""
        fits = [
            SQL("coalesce(pg_input_is_valid({}, {}), true)").format(Identifier(column.name), column.type)
            for column in self.columns
        ]
        return SQL("delete from arriving where not ({})").format(SQL(" and ").join(fits))

    def _key_type(self) -> str:
        """As PostgreSQL calls it."""
        return next(column.type for column in self.dataset.columns if column.name == self.dataset.key)

    def _others(self) -> list[Identifier]:
        """The columns but the key."""
        return [Identifier(name) for name in self.names if name != self.dataset.key]

    def _cast(self, *, typed: bool) -> list[Composable]:
        """The columns of ``arriving``, with their types if they are text there."""
        if typed:
            return [Identifier(column.name) for column in self.columns]
        return [SQL("{}::{}").format(Identifier(column.name), SQL(column.type)) for column in self.columns]

    def _sql(self, name: str) -> Any:
        text = SQL(query_text(f"queries/{name}"))
        if name == "load/blocked":
            return text.format(table=self._table(), key=Identifier(self.dataset.key), parent=Identifier(self.dataset.parent))
        return text

    def _table(self) -> Identifier:
        return Identifier("warehouse", self.dataset.name)

    def _run(self, name: str, **values: Any) -> psycopg.Cursor[Any]:
        return self.connection.execute(query_text(f"queries/{name}"), values)


def _refused_above(ways: Sequence[tuple[str, str | None, bool, list[int]]]) -> dict[str, str | None]:
    """For each record of ``ways`` (id, parent, whether it was refused, ...) the refused one that it is or is below, or None.

    Each record is visited once, however long the ways are.
    """
    above = {node: parent for node, parent, _, _ in ways}
    found: dict[str, str | None] = {node: node for node, _, is_refused, _ in ways if is_refused}
    for start in above:
        way: list[str] = []
        node: str | None = start
        while node is not None and node in above and node not in found:
            way.append(node)
            found[node] = None  # a way that comes back to itself ends here
            node = above[node]
        found |= dict.fromkeys(way, found.get(node) if node is not None else None)
    return found


def _slices(sizes: pa.Array) -> Iterator[tuple[int, int]]:
    """Ranges of places whose sizes add up to ``SLICE_BYTES`` at most, by halving; a larger size is a range by itself."""
    ends = pc.cumulative_sum(sizes)
    todo = [(0, len(sizes))] if len(sizes) else []
    while todo:
        first, last = todo.pop()
        size = ends[last - 1].as_py() - (ends[first - 1].as_py() if first else 0)
        if size <= SLICE_BYTES or last - first == 1:
            yield first, last
        else:
            middle = (first + last) // 2
            todo += [(middle, last), (first, middle)]


def _ranges(batches: Sequence[int]) -> Iterator[tuple[int, int]]:
    """The places at which runs of equal batch numbers begin and end."""
    first = 0
    for place in range(1, len(batches) + 1):
        if place == len(batches) or batches[place] != batches[first]:
            yield first, place
            first = place


def _is_refusal(error: psycopg.Error) -> bool:
    return kind_of(error) is Kind.DATA


def _exact(scalar: pa.Scalar) -> Any:
    """A value as JSON can have it, with every digit: what JSON has no type for is text."""
    if pa.types.is_float32(scalar.type) and scalar.is_valid:
        return float(scalar.cast(pa.string()).as_py())  # 0.1, and not the double that is nearest to the float
    value = scalar.as_py()
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)


def _in_words(error: psycopg.Error) -> str:
    """What the warehouse says of a record: the sentence, the column or constraint, and the detail."""
    said = error.diag
    where = f" (column {said.column_name})" if said.column_name else ""
    rule = f" (constraint {said.constraint_name})" if said.constraint_name else ""
    detail = f" {said.message_detail}" if said.message_detail else ""
    return f"The warehouse refuses the record: {said.message_primary}{where}{rule}.{detail}"
