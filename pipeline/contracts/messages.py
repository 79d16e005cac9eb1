"""What crosses a process line: ids, keys, states and their legal moves, and one dataclass in, one out, for each step.

Standard library only, so that the workflow's sandbox, the Lambda's zip and the web process can all import it at no
cost. Only keys and counts are here, never rows: a history in Temporal stays small and holds nobody's data.
"""

from __future__ import annotations

import re
import uuid
from bisect import bisect_left
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Generic, TypeVar

INCOMING = "incoming"
QUEUE_WORKFLOW = "DatasetQueue"
IMPORT_WORKFLOW = "ImportFile"
NOTIFY_WORKFLOW = "TellUser"
RECONCILE_WORKFLOW = "Reconcile"
CLEAN_WORKFLOW = "CleanUp"
RESULTS_WORKFLOW = "WriteResults"
SEND_WORKFLOW = "SendOne"
MARTS_WORKFLOW = "RefreshMarts"
REFRESH_SIGNAL = "refresh"
ENQUEUE_SIGNAL = "enqueue"
PAUSE_SIGNAL = "pause"
RESUME_SIGNAL = "resume"
PROGRESS_QUERY = "progress"
DATASET_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
"""A dataset is also a table, a suite and a piece of a path: one strict spelling serves them all."""

HEARTBEAT_SECONDS = 10.0
"""A step that has said nothing for so long has died with its worker."""

_IMPORT_IDS = uuid.UUID("5f1d4c52-7f0e-5d0b-9c39-3f8b6c0c7a11")


# --- States ---


class State(StrEnum):
    """Where an import stands. The first seven are under way, the others are final."""

    AWAITING_UPLOAD = "awaiting_upload"
    QUEUED = "queued"
    VALIDATING = "validating"
    PREPARING = "preparing"
    LOADING = "loading"
    PAUSED = "paused"
    SUCCEEDED = "succeeded"
    PARTIALLY_SUCCEEDED = "partially_succeeded"
    REJECTED = "rejected"
    FAILED = "failed"
    CANCELED = "canceled"
    EXPIRED = "expired"
    DUPLICATE = "duplicate"
    VALIDATED = "validated"

    @property
    def is_final(self) -> bool:
        """No step follows by itself: what leads out of a final state, if anything does, is somebody's wish."""
        return not MOVES[self] or self is State.VALIDATED

    @property
    def is_settled(self) -> bool:
        """Nothing leads out of it any more, not even somebody's wish: a dry run that may be promoted is not settled."""
        return not MOVES[self]


MOVES: Mapping[State, Mapping[State, str]] = {
    State.AWAITING_UPLOAD: {
        State.QUEUED: "the file is whole in S3",
        State.EXPIRED: "the upload was given up or broke off",
        State.CANCELED: "the user canceled before the file was whole",
    },
    State.QUEUED: {
        State.VALIDATING: "its turn in the dataset's queue has come",
        State.CANCELED: "the user canceled while it waited",
        State.DUPLICATE: "an earlier import already loaded this content",
        State.FAILED: "the system could not take it up",
    },
    State.VALIDATING: {
        State.PREPARING: "nothing stands against loading it, or what does is held back",
        State.REJECTED: "a finding is an error: nothing is written",
        State.VALIDATED: "a dry run: it would be loaded, and nothing is written",
        State.FAILED: "the system, not the file, was at fault",
        State.CANCELED: "the user canceled; nothing is written",
        State.DUPLICATE: "an earlier import already loaded this content",
    },
    State.VALIDATED: {
        State.QUEUED: "the user promoted it: the very bytes that were validated are loaded",
        State.EXPIRED: "the dry run was not promoted within the time that BULKHEAD_KEEP_DRY_RUNS sets",
    },
    State.PREPARING: {
        State.VALIDATING: "its run was lost with the orchestrator; it begins again",
        State.LOADING: "the batches are stored",
        State.REJECTED: "the file was replaced before it could be cut into batches",
        State.FAILED: "the system, not the file, was at fault",
        State.CANCELED: "the user canceled; nothing is written",
    },
    State.LOADING: {
        State.VALIDATING: "its run was lost with the orchestrator; it begins again, and loaded parts stay loaded",
        State.SUCCEEDED: "every record is in the warehouse",
        State.PARTIALLY_SUCCEEDED: "the warehouse refused some records for good; the others are in",
        State.FAILED: "the system gave up; what was loaded stays, and the counts say what",
        State.CANCELED: "the user canceled; the counts say what was loaded",
        State.PAUSED: "the user paused it; the parts that were under way are loaded",
    },
    State.PAUSED: {
        State.LOADING: "the user resumed it",
        State.VALIDATING: "its run was lost with the orchestrator; it begins again, and loaded parts stay loaded",
        State.FAILED: "the system gave up; what was loaded stays, and the counts say what",
        State.CANCELED: "the user canceled; the counts say what was loaded",
    },
    State.SUCCEEDED: {},
    State.PARTIALLY_SUCCEEDED: {},
    State.REJECTED: {},
    State.FAILED: {},
    State.CANCELED: {},
    State.EXPIRED: {},
    State.DUPLICATE: {},
}
"""Every legal move, each with its reason. Nothing else may know the rules."""

AT_WORK = (State.VALIDATING, State.PREPARING, State.LOADING, State.PAUSED)
"""The states of an import that is at work: of a dataset there is never more than one (the index import_at_work sees to it)."""

ACTIVE = (State.QUEUED, *AT_WORK)
"""The states of an import that stands in its dataset's queue."""


def states_before(after: State) -> tuple[State, ...]:
    """The states from which ``after`` may be reached."""
    return tuple(before for before, moves in MOVES.items() if after in moves)


CANCELED_BY_USER = "canceled by the user"
"""Why an import ended, if its cancellation was asked for."""


# --- Ids and keys ---


def queue_workflow_id(dataset: str) -> str:
    """One workflow a dataset: Temporal's uniqueness of running ids is what keeps two ingestions apart."""
    return f"ingest/{dataset}"


def import_workflow_id(import_id: str) -> str:
    """The workflow of one file's run."""
    return f"import/{import_id}"


def notify_workflow_id(import_id: str, state: State | None = None) -> str:
    """The workflow that tells the user; apart from the import's, so that a dead receiver holds nothing up.

    A dry run's outcome has one of its own: it may still be told while the import, promoted, has come to its end.
    """
    return f"notify/{import_id}/dry-run" if state is State.VALIDATED else f"notify/{import_id}"


def marts_workflow_id(dataset: str) -> str:
    """The workflow that brings a dataset's marts up to date; apart from imports, so that a mart delays none."""
    return f"marts/{dataset}"


def results_workflow_id(import_id: str, fate: Fate, form: str) -> str:
    """The workflow that writes a file of results which nobody asked for before."""
    return f"results/{import_id}/{fate}/{form}"


def incoming_key(dataset: str, import_id: str, filename: str) -> str:
    """Where an uploaded file lands."""
    return f"{INCOMING}/{dataset}/{import_id}/{filename}"


def dataset_of(key: str) -> str | None:
    """The dataset that an object's key names, or None if the key is not an incoming file's."""
    head, _, rest = key.partition("/")
    dataset, _, name = rest.partition("/")
    if head != INCOMING or not name or name.endswith("/") or not DATASET_NAME.fullmatch(dataset):
        return None
    return dataset


def import_id_in(key: str) -> str | None:
    """The import id in an uploaded file's key, or None if somebody dropped the file under a name of their own."""
    pieces = key.split("/")
    if len(pieces) < 4:
        return None
    try:
        return str(uuid.UUID(pieces[2]))
    except ValueError:
        return None


def import_id_for(bucket: str, key: str, etag: str, modified: str) -> str:
    """The import id of a dropped file: the same object gives the same id, however often and by whom it is announced."""
    return str(uuid.uuid5(_IMPORT_IDS, "\n".join((bucket, key, etag, modified))))


def batches_prefix(import_id: str) -> str:
    """Under this prefix: an import's parts, and their manifest."""
    return f"batches/{import_id}/"


def part_key(import_id: str, part_no: int) -> str:
    """Where a part of an import lies, counted from 1."""
    return f"{batches_prefix(import_id)}part-{part_no:06d}.parquet"


def manifest_key(import_id: str) -> str:
    """Where the manifest of an import's parts lies."""
    return f"{batches_prefix(import_id)}manifest.json"


def report_prefix(import_id: str) -> str:
    """Under this prefix: findings.csv, findings.json, findings.parquet and docs/ (Great Expectations' pages)."""
    return f"reports/{import_id}/"


def results_prefix(import_id: str) -> str:
    """Under this prefix: what became of the records, a file a kind and format, and summary.json."""
    return f"results/{import_id}/"


class Fate(StrEnum):
    """What became of a row of a file."""

    SUCCEEDED = "succeeded"  # it is in the warehouse as the file has it
    FAILED = "failed"  # held back, or refused by the warehouse for good
    UNPROCESSED = "unprocessed"  # nobody came to it


RESULTS_FORMS = ("native", "parquet", "csv", "json")
"""Files of results: exact ones, in the format that was uploaded and in Parquet; and for people, as CSV and JSON."""


def results_file(fate: Fate, form: str, reading: Mapping[str, Any]) -> str:
    """The name of the file with the rows of that fate, in one of RESULTS_FORMS, of a file that was read as ``reading`` says."""
    return f"{fate}-exact.{native_format(reading)}" if form == "native" else f"{fate}.{form}"


def results_key(import_id: str, fate: Fate, form: str, reading: Mapping[str, Any]) -> str:
    """Where that file lies."""
    return f"{results_prefix(import_id)}{results_file(fate, form, reading)}"


def native_format(reading: Mapping[str, Any]) -> str:
    """The format of an import's file, without its compression: csv, tsv, json, ndjson, parquet or xlsx."""
    return str(reading.get("format") or "csv")


def added_names(originals: Sequence[str]) -> tuple[str, ...]:
    """What a results file calls the columns that it adds to a file's own ``originals``: row, code, reason, and text.

    The last holds a row that could not be taken apart, where there is one. A name that the file has itself gets an underscore.
    """
    taken = {name.casefold() for name in originals}
    return tuple(_free(name, taken) for name in ("row", "code", "reason", "text"))


def _free(name: str, taken: Container[str]) -> str:
    return _free(f"_{name}", taken) if name in taken else name


# --- What is kept ---


class Kept(StrEnum):
    """What is kept of an import for as long as a setting says; the counts and moves in the ledger are kept for ever."""

    BATCHES = "batches"
    RESULTS = "results"
    REPORT = "report"
    SOURCE = "source"

    @property
    def setting(self) -> str:
        """The name of that setting."""
        return {"report": "BULKHEAD_KEEP_REPORTS", "source": "BULKHEAD_KEEP_SOURCES"}.get(self, f"BULKHEAD_KEEP_{self.upper()}")


# --- What an upload may ask for ---


class OnError(StrEnum):
    """What becomes of a file in which some records are wrong."""

    REJECT = "reject"  # nothing is written
    QUARANTINE = "quarantine"  # the good records are loaded; the bad ones, and all that hangs below them, are stored


@dataclass(frozen=True)
class Options:
    """What an upload asks for. None: the dataset's suite says (its ``meta``), or else the default."""

    dry_run: bool = False
    on_error: OnError | None = None
    max_errors: int | None = None  # quarantine at most so many records, else reject the file
    max_error_ratio: float | None = None  # the same as a share of the file's records, from 0 to 1
    delimiter: str | None = None  # of a delimited text: one of DELIMITERS; None: detected, and shown
    force: bool = False  # load it even if this very content was loaded before
    without: tuple[str, ...] = ()  # columns of the file to leave out: those that a results file adds
    mapping: Mapping[str, str] = field(default_factory=dict)  # a column of the file -> the dataset's; empty: left out
    notify: tuple[str, ...] = ()  # addresses to tell of the end, beside those that are told of every one's

    def to_json(self) -> dict[str, object]:
        """What was asked for, without what was left open."""
        asked = {
            name: value for name, value in vars(self).items() if not (value is None or value is False or value in ((), {}))
        }
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asked.items()}

    @classmethod
    def from_json(cls, asked: Mapping[str, Any]) -> Options:
        """Read what to_json gave."""
        on_error, ratio = asked.get("on_error"), asked.get("max_error_ratio")
        lists = {name: tuple(asked.get(name, ())) for name in ("without", "notify")}
        ratio = None if ratio is None else float(ratio)  # as the ledger has it, it knows its spelling too
        return cls(**{**asked, **lists, "on_error": OnError(on_error) if on_error else None, "max_error_ratio": ratio})


DELIMITER_NAMES: Mapping[str, str] = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|"}
"""What may stand between the values of a delimited text, by name: a character alone is hard to write or to see."""

DELIMITERS = tuple(DELIMITER_NAMES.values())


# --- What the steps take and give ---


@dataclass(frozen=True)
class Arrival:
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
class Arrivals:
    """Arrivals of one dataset that are looked at together, in their order."""

    items: tuple[Arrival, ...]


@dataclass(frozen=True)
class Asked:
    """A queue asks for its dataset's next import, other than those that it could not bring to an end."""

    dataset: str
    but: tuple[str, ...] = ()


@dataclass(frozen=True)
class Next:
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
class Preview:
    """What the load would do. ``moved`` are those of the updated that get another parent; the other four add up."""

    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    moved: int = 0
    failed: int = 0  # a value that the warehouse's type does not take

    def __add__(self, other: Preview) -> Preview:
        return Preview(*(mine + theirs for mine, theirs in zip(vars(self).values(), vars(other).values(), strict=True)))

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
    fate: Fate
    form: str


@dataclass(frozen=True)
class Held:
    """Whether an import stands still because somebody wants it to."""

    holds: bool


@dataclass(frozen=True)
class PartResult:
    """What became of a part's records; the four add up to the part's size."""

    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    failed: int = 0


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
class Told:
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
    arrived: tuple[Arrival, ...] = ()  # what has not been looked at
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


Takes = TypeVar("Takes")
Gives = TypeVar("Gives")


class Lane(StrEnum):
    """Kinds of work that must not wait for one another. Each is a task queue, of which a worker does so much at once."""

    SHORT = ""  # a moment each
    FILE = "files"  # a whole file: minutes, and gigabytes of memory
    PART = "parts"  # a part's transaction: a second or so, and a connection
    WAIT = "waits"  # for the end of another workflow: as long as that takes, but no thread
    MESSAGE = "messages"  # as long as a receiver takes to answer, up to half a minute each
    RESULTS = "results"  # a whole file, for a person who waits for it
    RECONCILE = "reconciliation"  # minutes, every minute
    CLEAN = "clean-up"  # up to hours
    MART = "marts"  # a dataset's materialized views: as long as their limit lets them


MOVED_FROM: Mapping[Lane, tuple[Lane, ...]] = {
    Lane.SHORT: (Lane.MESSAGE, Lane.RECONCILE, Lane.CLEAN),
    Lane.FILE: (Lane.RESULTS,),
}
"""Lanes whose steps belonged to another one: workflows that began then may still ask for them there."""


def task_queue_of(task_queue: str, lane: Lane) -> str:
    """The name of the lane's own task queue, where ``task_queue`` is that of the short steps and of the workflows."""
    return f"{task_queue}/{lane}" if lane else task_queue


@dataclass(frozen=True)
class Step(Generic[Takes, Gives]):
    """An activity by name and types: the workflow calls it without importing its code."""

    name: str
    takes: type[Takes]
    gives: type[Gives]
    lane: Lane = Lane.SHORT


REGISTER = Step("register", Arrivals, type(None))
NEXT = Step("next", Asked, Next)
WATCH = Step("watch", ImportRef, type(None), Lane.WAIT)
VALIDATE = Step("validate", ImportRef, Verdict, Lane.FILE)
PREPARE = Step("prepare", ImportRef, Plan, Lane.FILE)
PREVIEW = Step("preview", ImportRef, Preview, Lane.FILE)
LOAD_PART = Step("load_part", PartRef, PartResult, Lane.PART)
GIVE_UP_PART = Step("give_up_part", PartRef, PartResult, Lane.FILE)
HOLD = Step("hold", ImportRef, Held)
GO_ON = Step("go_on", ImportRef, Held)
FINISH = Step("finish", Ending, Outcome)
CLOSE = Step("close", Ending, Outcome)
REFRESH_MARTS = Step("refresh_marts", MartsRun, type(None), Lane.MART)
WRITE_FAILED = Step("write_failed", Ending, Written, Lane.FILE)
WRITE_RESULTS = Step("write_results", ResultsWanted, type(None), Lane.RESULTS)
ADDRESSEES = Step("addressees", Outcome, Told, Lane.MESSAGE)
DELIVER = Step("deliver", Delivery, type(None), Lane.MESSAGE)
TRY_RECEIVER = Step("try_receiver", Delivery, type(None), Lane.MESSAGE)
RECONCILE = Step("reconcile", type(None), Reconciled, Lane.RECONCILE)
CLEAN = Step("clean", CleanRun, Cleaned, Lane.CLEAN)
