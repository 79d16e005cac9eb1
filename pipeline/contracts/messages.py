"""What crosses a process line: ids, keys, states and their legal moves, and one dataclass in, one out, for each step.

Standard library only, so that the workflow's sandbox, the Lambda's zip and the web process can all import it at no
cost. Only keys and counts are here, never rows: a history in Temporal stays small and holds nobody's data.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field

from pipeline.contracts.object_keys import RowOutcome
from pipeline.contracts.states import State

# --- States ---


# --- Ids and keys ---


# --- What is kept ---


# --- What an upload may ask for ---


# --- What the steps take and give ---


@dataclass(frozen=True)
class ObjectArrived:
    """An object that arrived in S3, as an event or the reconciliation tells of it. Told at least once, in any order."""

    bucket: str
    key: str
    import_id: str = ""  # the import it is meant for, where that is in the ledger already


@dataclass(frozen=True)
class ImportRef:
    """One file's run: enough to find the file, and to notice that it is no longer the same one."""

    import_id: str
    dataset: str
    bucket: str
    key: str
    etag: str
    promoted: bool = False  # its dry run is over, and this is the run that loads it


@dataclass(frozen=True)
class ObjectsArrived:
    """Arrivals of one dataset that are looked at together, in their order."""

    items: tuple[ObjectArrived, ...]


@dataclass(frozen=True)
class NextImportRequest:
    """A queue asks for its dataset's next import, other than those that it could not bring to an end."""

    dataset: str
    but: tuple[str, ...] = ()


@dataclass(frozen=True)
class NextImport:
    """The import of a dataset that is at work, or else the one that has waited longest; None if there is none."""

    ref: ImportRef | None = None


@dataclass(frozen=True)
class Verdict:
    """What validation found."""

    records: int
    errors: int
    warnings: int
    quarantined: int = 0  # records held back, so that the others may be loaded
    refusal: str = ""  # why they could not be held back, where they were to be
    dry_run: bool = False  # nothing is to be loaded, only foreseen
    known: str = ""  # this very content is loaded already, and when that was; then it was not looked at again

    @property
    def accepted(self) -> bool:
        """Any error rejects the whole file, unless the records that it speaks of are held back."""
        return self.errors == 0 or self.quarantined > 0


@dataclass(frozen=True)
class Plan:
    """How an import was cut. Wave ``i`` ends with part ``waves[i]``; parts count from 1 and lie in wave order.

    Part ``i`` may be loaded when all parts up to ``needs[i - 1]`` are, earlier than when the wave before its own has ended.
    A plan of earlier does not say; then it is that wave's end.
    """

    records: int
    batches: int
    parts: int
    waves: tuple[int, ...]
    parallel: int = 1  # how many parts may be loaded at once
    pause_wanted: bool = False  # somebody asked for a pause before there was anything to load
    needs: tuple[int, ...] = ()

    def wave_of(self, part_no: int) -> int:
        """The wave that a part is in, from 1."""
        return bisect_left(self.waves, part_no) + 1

    def needed_by(self, part_no: int) -> int:
        """The last of the parts that must be in the warehouse before this one is begun; 0 if none."""
        if self.needs:
            return self.needs[part_no - 1]
        wave = self.wave_of(part_no)
        return self.waves[wave - 2] if wave > 1 else 0


@dataclass(frozen=True)
class DryRunCounts:
    """What the load would do. ``moved`` are those of the updated that get another parent; the other four add up."""

    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    moved: int = 0
    failed: int = 0  # a value that the warehouse's type does not take

    def __add__(self, other: DryRunCounts) -> DryRunCounts:
        return DryRunCounts(*(mine + theirs for mine, theirs in zip(vars(self).values(), vars(other).values(), strict=True)))

    def to_json(self) -> dict[str, int]:
        """As the API shows it; ``failed`` only if there are any."""
        return {name: value for name, value in vars(self).items() if value or name != "failed"}


@dataclass(frozen=True)
class PartRef:
    """One part to load; or to give up, with the ``reason``."""

    ref: ImportRef
    part_no: int
    reason: str = ""


@dataclass(frozen=True)
class ResultsWanted:
    """A file of results that somebody asked for."""

    ref: ImportRef
    fate: RowOutcome
    form: str


@dataclass(frozen=True)
class PauseState:
    """Whether an import stands still because somebody wants it to."""

    holds: bool


@dataclass(frozen=True)
class PartResult:
    """What became of a part's records; the four add up to the part's size."""

    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    failed: int = 0

    def __add__(self, other: PartResult) -> PartResult:
        return PartResult(*(mine + theirs for mine, theirs in zip(vars(self).values(), vars(other).values(), strict=True)))


@dataclass(frozen=True)
class Ending:
    """How a run came to its end, for the step that writes it down."""

    ref: ImportRef
    state: State | None = None  # None: let the counts decide between the two kinds of success
    reason: str = ""
    apart: bool = False  # files of results that have to be written are a step of their own
    fault: str | None = None  # what was wrong with them; empty: nothing; None: they are not written


@dataclass(frozen=True)
class Outcome:
    """What the user is told. ``state`` is final."""

    import_id: str
    state: State
    reason: str = ""
    is_final: bool = True  # False: nothing has ended yet; files of results have to be written first


@dataclass(frozen=True)
class Written:
    """What was wrong with the files of results that are written before an import ends; empty: nothing."""

    fault: str = ""


@dataclass(frozen=True)
class Deliveries:
    """The messages about an outcome that are still to be sent."""

    deliveries: tuple[Delivery, ...] = ()


@dataclass(frozen=True)
class Delivery:
    """One message to one receiver; ``channel`` is ``webhook`` or ``email``. Without an import it is a test.

    An address may be a secret, which Temporal's history must not hold: ``receiver`` is the receiver's id. Messages that were
    under way before there were such ids have the address itself, as ``target``.
    """

    import_id: str
    channel: str
    target: str = ""
    receiver: str = ""
    asked: bool = False  # a person waits for the answer: it is sent even if it was before, and to a host that hangs


@dataclass(frozen=True)
class ImportRun:
    """What one run of the import workflow needs; the later fields carry it across continue-as-new."""

    ref: ImportRef
    plan: Plan | None = None
    parts_done: int = 0
    pause_wanted: bool = False


@dataclass(frozen=True)
class QueueRun:
    """What one run of a dataset's queue needs; the later fields carry it across continue-as-new.

    Which files wait is in the ledger, so that a queue is as long as it likes and its workflow small.
    """

    dataset: str
    running: ImportRef | None = None  # the import that the run before began
    arrived: tuple[ObjectArrived, ...] = ()  # what has not been looked at
    last: ImportRef | None = None  # the import that was over last
    begun: int = 0  # how often in a row the one that is running, or else the last one, was begun


@dataclass(frozen=True)
class Progress:
    """What the import workflow answers when asked."""

    state: State
    parts_total: int = 0
    parts_done: int = 0
    waves_total: int = 0
    wave: int = 0


@dataclass(frozen=True)
class Reconciled:
    """What a reconciliation found: objects looked at, and arrivals that no event had announced."""

    seen: int = 0
    started: int = 0
    expired: int = 0
    told: int = 0  # imports whose messages were started, since nothing was sending them
    is_whole: bool = True  # False: the bucket is large, and the next run goes on with the listing
    terminated: int = 0  # runs of imports that the ledger does not know
    keys: tuple[str, ...] = field(default=())
    unknown: int = 0  # uploaded files whose import the ledger does not know and that cannot be restored: left alone
    unknown_keys: tuple[str, ...] = field(default=())  # the first of these
    replaced: int = 0  # objects that have changed since they were uploaded: not imported again


@dataclass(frozen=True)
class MartsRun:
    """Whose materialized views are to be brought up to date."""

    dataset: str


@dataclass(frozen=True)
class CleanRun:
    """What a clean-up needs to know."""

    dry_run: bool = False  # only say what would be removed


@dataclass(frozen=True)
class Cleaned:
    """What a clean-up removed, or would have. The first four count imports."""

    batches: int = 0
    results: int = 0
    reports: int = 0
    sources: int = 0
    objects: int = 0  # of all these
    uploads: int = 0  # multipart uploads that were abandoned
    folders: int = 0  # of imports that are over, in the worker's scratch space
    unknown: int = 0  # prefixes of imports that the ledger does not know; they are left alone
    failed: int = 0  # what could not be removed; the next clean-up tries again
    errors: tuple[str, ...] = field(default=())  # the first of these
    dry_runs: int = 0  # that were not promoted in time, and have expired
    idempotency_keys: int = 0
    sign_ins: int = 0  # links that were used or are past their time
    foreign_writes: int = 0  # notes of writes of other clients that no import under way has to know of
    mails: int = 0  # in the worker's outbox folder
    dead_letters: int = 0  # of the event relay, where it shares the worker's disk
