"""The messages between workflows, activities and clients: one dataclass in and one out for each step.

Field names are in recorded histories: they stay, and new fields have a default. Messages hold keys and counts, never rows, so
that Temporal's histories stay small and contain no data. Standard library only: workflows and the Lambda import it.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field

from pipeline.contracts.object_keys import RowOutcome
from pipeline.contracts.states import State


@dataclass(frozen=True)
class ObjectArrived:
    """An object that arrived in S3, as an event or the reconciliation reports it: at least once, in any order."""

    bucket: str
    key: str
    import_id: str = ""  # the import that it belongs to, if that is in the ledger already
    traceparent: str | None = field(default=None, compare=False)  # the span of the process that reports it


@dataclass(frozen=True)
class ImportRef:
    """One import: enough to find its file, and to detect that the file was replaced."""

    import_id: str
    dataset: str
    bucket: str
    key: str
    etag: str
    promoted: bool = False  # this run loads it after its dry run


@dataclass(frozen=True)
class ObjectsArrived:
    """Arrivals of one dataset to register together, in their order."""

    items: tuple[ObjectArrived, ...]


@dataclass(frozen=True)
class NextImportRequest:
    """A queue's request for the next import of its dataset. ``but``: imports to pass over."""

    dataset: str
    but: tuple[str, ...] = ()


@dataclass(frozen=True)
class NextImport:
    """The import of a dataset that is being processed, or else the one that has waited longest; None if there is none.

    ``searchable``: the namespace has our search attributes, so that the import's workflow can have them.
    """

    ref: ImportRef | None = None
    searchable: bool = False
    traceparent: str | None = None  # the span that the import belongs to


@dataclass(frozen=True)
class Verdict:
    """The result of validation."""

    records: int
    errors: int
    warnings: int
    quarantined: int = 0  # records in quarantine, so that the others may be loaded
    refusal: str = ""  # why no quarantine was possible, if one was asked for
    dry_run: bool = False  # compare with the warehouse, load nothing
    known: str = ""  # the content is a duplicate, and of what; then it was not validated

    @property
    def accepted(self) -> bool:
        """Return whether the file may be loaded: it has no errors, or the records that have some are in quarantine."""
        return self.errors == 0 or self.quarantined > 0


@dataclass(frozen=True)
class Plan:
    """The parts of an import. Wave ``i`` ends with part ``waves[i]``; parts are numbered from 1, in the order of waves.

    Part ``i`` may be loaded when all parts up to ``needs[i - 1]`` are; that may be before the previous wave has ended. Plans of
    earlier releases have no ``needs``: then it is the end of the previous wave.
    """

    records: int
    batches: int
    parts: int
    waves: tuple[int, ...]
    parallel: int = 1  # how many parts to load at once
    pause_wanted: bool = False  # a pause was requested before loading began
    needs: tuple[int, ...] = ()

    def wave_of(self, part_no: int) -> int:
        """Return the wave of a part, from 1."""
        return bisect_left(self.waves, part_no) + 1

    def needed_by(self, part_no: int) -> int:
        """Return the last of the parts that must be loaded before this one is started; 0 if none."""
        if self.needs:
            return self.needs[part_no - 1]
        wave = self.wave_of(part_no)
        return self.waves[wave - 2] if wave > 1 else 0


@dataclass(frozen=True)
class DryRunCounts:
    """What a load would do. ``moved`` counts the updated records that get another parent; the other four add up."""

    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    moved: int = 0
    failed: int = 0  # a value does not fit its type in the warehouse

    def __add__(self, other: DryRunCounts) -> DryRunCounts:
        return DryRunCounts(*(mine + theirs for mine, theirs in zip(vars(self).values(), vars(other).values(), strict=True)))

    def to_json(self) -> dict[str, int]:
        """Return the counts as the API shows them; ``failed`` only if there are any."""
        return {name: value for name, value in vars(self).items() if value or name != "failed"}


@dataclass(frozen=True)
class PartRef:
    """One part to load; or, with a ``reason``, to enter as failed."""

    ref: ImportRef
    part_no: int
    reason: str = ""


@dataclass(frozen=True)
class ResultsWanted:
    """A result file that a user requested."""

    ref: ImportRef
    fate: RowOutcome
    form: str


@dataclass(frozen=True)
class PauseState:
    """Whether an import is paused."""

    holds: bool


@dataclass(frozen=True)
class PartResult:
    """The outcome of a part's records; the four counts add up to the part's size."""

    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    failed: int = 0

    def __add__(self, other: PartResult) -> PartResult:
        return PartResult(*(mine + theirs for mine, theirs in zip(vars(self).values(), vars(other).values(), strict=True)))


@dataclass(frozen=True)
class Ending:
    """How a run ended, for the step that records it."""

    ref: ImportRef
    state: State | None = None  # None: the counts decide between full and partial success
    reason: str = ""
    apart: bool = False  # result files are written in a step of their own
    fault: str | None = None  # the error in writing them; empty: none; None: not written yet


@dataclass(frozen=True)
class Outcome:
    """The end of an import, of which recipients are notified. ``state`` is final."""

    import_id: str
    state: State
    reason: str = ""
    is_final: bool = True  # False: not ended yet, result files have to be written first


@dataclass(frozen=True)
class Written:
    """The error in writing the result files before an import ends; empty: none."""

    fault: str = ""


@dataclass(frozen=True)
class Deliveries:
    """The messages about an outcome that have not been delivered yet."""

    deliveries: tuple[Delivery, ...] = ()


@dataclass(frozen=True)
class Delivery:
    """One message to one recipient; ``channel`` is ``webhook`` or ``email``. Without an import it is a test message.

    ``receiver`` is the recipient's id: an address may be a secret, which must not be in Temporal's histories. Messages of
    earlier releases have the address itself, as ``target``.
    """

    import_id: str
    channel: str
    target: str = ""
    receiver: str = ""
    asked: bool = False  # a person waits for the answer: send it again, and even to a host that hangs


@dataclass(frozen=True)
class ImportRun:
    """The input of an import's workflow; the later fields carry its state across continue-as-new."""

    ref: ImportRef
    plan: Plan | None = None
    parts_done: int = 0
    pause_wanted: bool = False
    traceparent: str | None = None  # the span that the run belongs to; later runs have it in their headers


@dataclass(frozen=True)
class QueueRun:
    """The input of a dataset's queue; the later fields carry its state across continue-as-new.

    Which imports wait is in the ledger, so the workflow stays small however long the queue is.
    """

    dataset: str
    running: ImportRef | None = None  # the import that the previous run started
    arrived: tuple[ObjectArrived, ...] = ()  # what has not been registered yet
    last: ImportRef | None = None  # the import that ended last
    begun: int = 0  # how often in a row the running import, or else the last one, was started


@dataclass(frozen=True)
class Progress:
    """The progress of an import, as its workflow answers the query."""

    state: State
    parts_total: int = 0
    parts_done: int = 0
    waves_total: int = 0
    wave: int = 0


@dataclass(frozen=True)
class Reconciled:
    """What a reconciliation found: objects listed, and arrivals of which no event was received."""

    seen: int = 0
    started: int = 0
    expired: int = 0
    told: int = 0  # imports whose notifications were started, since no workflow was sending them
    is_whole: bool = True  # False: the bucket is large, and the next run continues the listing
    terminated: int = 0  # workflow runs of imports that the ledger does not know
    keys: tuple[str, ...] = field(default=())
    unknown: int = 0  # uploaded files whose import is not in the ledger and cannot be restored: left alone
    unknown_keys: tuple[str, ...] = field(default=())  # the first of these
    replaced: int = 0  # objects that have changed since they were uploaded: not imported again


@dataclass(frozen=True)
class MartsRun:
    """The dataset whose marts to refresh."""

    dataset: str


@dataclass(frozen=True)
class CleanRun:
    """The input of a clean-up."""

    dry_run: bool = False  # only count what would be removed


@dataclass(frozen=True)
class Cleaned:
    """What a clean-up removed, or would have. The first four count imports."""

    batches: int = 0
    results: int = 0
    reports: int = 0
    sources: int = 0
    objects: int = 0  # in S3, of all these
    uploads: int = 0  # abandoned multipart uploads
    folders: int = 0  # of ended imports, in the worker's scratch space
    unknown: int = 0  # prefixes of imports that are not in the ledger: left alone
    failed: int = 0  # what could not be removed; the next clean-up tries again
    errors: tuple[str, ...] = field(default=())  # the first of these
    dry_runs: int = 0  # not promoted in time, and expired
    idempotency_keys: int = 0
    sign_ins: int = 0  # links that were used or have expired, and sessions that have
    foreign_writes: int = 0  # notes of other clients' writes that no active import needs
    mails: int = 0  # in the worker's outbox folder
    dead_letters: int = 0  # of the event relay, if it shares the worker's disk
    audits: int = 0  # their reports
    audit_events: int = 0  # of the audit log, past BULKHEAD_KEEP_AUDIT_LOG
    dropped: int = 0  # dumps of datasets that were dropped
    expired_keys: int = 0  # API keys whose expiry was recorded in the audit log
    drafts: int = 0  # files kept for forms that were left
