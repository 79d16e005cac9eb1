"""One short method per workflow step: fetch what the step needs, call the stage, write down what came of it.

How an attempt's end is told to Temporal is in attempt.py; the steps that tell people are postman.py's.
"""

from __future__ import annotations

import asyncio
import functools
import shutil
import uuid
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import Engine
from temporalio import activity
from temporalio.client import Client, WorkflowFailureError
from temporalio.service import RPCError, RPCStatusCode

from pipeline import retention
from pipeline.adapters.postgres_errors import DATABASE_ERRORS, is_passing
from pipeline.adapters.s3 import NotThere, Store
from pipeline.adapters.temporal import TemporalClient
from pipeline.contracts.messages import (
    Cleaned,
    CleanRun,
    DryRunCounts,
    Ending,
    ImportRef,
    MartsRun,
    NextImport,
    NextImportRequest,
    ObjectArrived,
    ObjectsArrived,
    Outcome,
    PartRef,
    PartResult,
    PauseState,
    Plan,
    Reconciled,
    ResultsWanted,
    Verdict,
    Written,
)
from pipeline.contracts.object_keys import dataset_of, import_id_in, manifest_key, part_key, report_prefix, results_prefix
from pipeline.contracts.options import Options
from pipeline.contracts.states import CANCELED_BY_USER, State
from pipeline.contracts.steps import (
    CLEAN,
    CLOSE,
    FINISH,
    GIVE_UP_PART,
    GO_ON,
    HOLD,
    LOAD_PART,
    NEXT,
    PREPARE,
    PREVIEW,
    RECONCILE,
    REFRESH_MARTS,
    REGISTER,
    VALIDATE,
    WATCH,
    WRITE_FAILED,
    WRITE_RESULTS,
    TaskQueue,
)
from pipeline.contracts.workflows import import_workflow_id
from pipeline.datasets.dataset import Dataset, blank_dataset, load_dataset
from pipeline.display import counted
from pipeline.errors import (
    Canceled,
    Crashed,
    DamagedPart,
    FileReplaced,
    InvalidRequest,
    PartsLost,
    RejectedFile,
    Rewound,
    SystemFault,
    TransientError,
    UnknownDataset,
)
from pipeline.ledger.findings import keep_findings
from pipeline.ledger.imports import Ledger
from pipeline.ledger.models import ImportRecord
from pipeline.load import dry_run
from pipeline.load import load_part as load
from pipeline.load.part_file import PartFile
from pipeline.orchestration import reuse_verdict
from pipeline.orchestration.heartbeat_and_failures import BEAT_SECONDS, beat, converts_errors, heartbeating, to_its_end
from pipeline.orchestration.result_files import ResultFiles
from pipeline.prepare.manifest import MANIFEST, BatchSizes, Manifest
from pipeline.receive.arrivals import FORCE, Arrivals
from pipeline.receive.reconciliation import Reconciler
from pipeline.report import findings
from pipeline.sandbox import process, validate_file
from pipeline.settings import Settings
from pipeline.warehouse import existing_edges, foreign_writes
from pipeline.warehouse.marts import Marts

log = structlog.get_logger()

AHEAD = 1
"""Parts of a file that wait at the worker's door while it loads as many as it may: it never waits for the workflow."""

READING_ATTEMPTS = 3
"""A child may die of the machine's troubles rather than the file's; a file of which so many died is refused."""


class Activities:
    """The steps, on one worker's edges: its settings, store and warehouse."""

    def __init__(self, settings: Settings, store: Store, engine: Engine, orchestrator: TemporalClient) -> None:
        self._settings = settings
        self._store = store
        self._engine = engine
        self._ledger = Ledger(engine)
        self._incoming = Arrivals(store, self._ledger)
        self._orchestrator = orchestrator
        self._marts = Marts(engine)
        self._reconciler = Reconciler(settings, store, self._ledger, orchestrator)
        self._clerk = ResultFiles(settings, store, self._ledger)

    @property
    def by_task_queue(self) -> dict[TaskQueue, list[Callable[..., Any]]]:
        """What a worker registers, and with which task queue."""
        return {
            TaskQueue.SHORT: [self.register, self.next, self.hold, self.go_on, self.finish, self.close],
            TaskQueue.FILE: [self.validate, self.prepare, self.preview, self.give_up_part, self.write_failed],
            TaskQueue.PART: [self.load_part],
            TaskQueue.WAIT: [self.watch],
            TaskQueue.RESULTS: [self.write_results],
            TaskQueue.RECONCILE: [self.reconcile],
            TaskQueue.CLEAN: [self.clean],
            TaskQueue.MART: [self.refresh_marts],
        }

    # --- the journey ---

    @activity.defn(name=REGISTER.name, no_thread_cancel_exception=True)
    @converts_errors
    def register(self, arrivals: ObjectsArrived) -> None:
        """Write newly arrived objects into the ledger, which may know them already.

        One that cannot be written is logged and left, and holds up no other. Raises what the last one raised if that is true of
        all of them: then it is not theirs.
        """
        left = 0
        with heartbeating():
            for arrival in arrivals.items:
                try:
                    self._register(arrival)
                except InvalidRequest as error:
                    log.warning("not registered", key=arrival.key, why=str(error))
                except Exception as error:
                    left += 1
                    if is_passing(error) or left == len(arrivals.items):
                        raise
                    log.warning("not registered", key=arrival.key, why=str(error), exc_info=True)

    def _register(self, arrival: ObjectArrived) -> None:
        """An arrival that names its import is of one that is in the ledger, whatever lies there now."""
        stored = None if arrival.import_id else self._store.head(arrival.key)
        if stored is None:
            return
        found = self._incoming.find(stored)
        if found.why:
            log.warning("unknown upload left alone", key=arrival.key, why=found.why)
            return
        import_id, asked = found.import_id, found.asked
        if asked is not None:
            log.warning("import restored from its object", import_id=import_id, key=arrival.key)
        self._ledger.open(
            import_id,
            dataset=dataset_of(arrival.key) or "",
            filename=(asked and asked.filename) or Path(arrival.key).name,
            bucket=arrival.bucket,
            key=arrival.key,
            created_by=asked.created_by if asked else None,
            state=State.QUEUED,
            size_bytes=stored.size_bytes,
            etag=stored.etag,
            options=asked.options if asked else Options(force=stored.metadata.get(FORCE) == "true"),
            retry_of=asked.retry_of if asked else None,
        )
        known = self._ledger.known(import_id)
        if known.state is State.AWAITING_UPLOAD:  # its event was faster than the upload's own answer
            self._ledger.uploaded(import_id, size_bytes=stored.size_bytes, sha256="", etag=stored.etag)

    @activity.defn(name=NEXT.name)
    @converts_errors
    def next(self, asked: NextImportRequest) -> NextImport:
        """The dataset's import that was at work when its run was lost, or else the one that has waited longest."""
        with heartbeating():
            found = self._ledger.next(asked.dataset, asked.but)
        return NextImport(found.ref if found else None)

    @activity.defn(name=WATCH.name)
    async def watch(self, ref: ImportRef) -> None:
        """Wait until the import's workflow is over, however it ends. Takes no thread."""
        over = asyncio.create_task(_end_of(activity.client(), import_workflow_id(ref.import_id)))
        try:
            while not over.done():
                activity.heartbeat()
                await asyncio.wait([over], timeout=BEAT_SECONDS)
            await over
        finally:
            over.cancel()

    @activity.defn(name=VALIDATE.name, no_thread_cancel_exception=True)
    @converts_errors
    def validate(self, ref: ImportRef) -> Verdict:
        """Download, read strictly, check everything against file and warehouse; store the findings and their pages."""
        self._ledger.take_up(ref.import_id, activity.info().current_attempt_scheduled_time)
        folder = self._fresh_folder(ref)
        try:
            dataset = self._dataset(ref)
            known = self._fetch(ref, folder)
            earlier = self._loaded_before(known, dataset)
            if earlier and not known.options.force and not self._ledger.changed_since(earlier):
                return self._duplicate(known, earlier)
            judged = (earlier and self._taken_over(known, earlier, dataset)) or self._judge(known, dataset, folder)
        except RejectedFile as error:
            judged = self._refuse(ref, folder, error)
        except Crashed as error:
            judged = self._given_up(ref, folder, error)
        self._hold_back(ref, folder, judged)
        self._store_folder(folder / validate_file.REPORT, report_prefix(ref.import_id))
        if ref.promoted:
            self._store.delete_prefix(results_prefix(ref.import_id))  # those of the dry run
        if reuse_verdict.TAKEN_OVER_FROM not in judged.reading:  # there, nothing was found
            keep_findings(self._engine, ref.import_id, folder / validate_file.REPORT / "findings.parquet", beat=beat)
        self._ledger.update(
            ref.import_id,
            reading=judged.reading,
            quarantined=judged.quarantined,
            records_total=judged.records,
            records_valid=judged.records - judged.invalid,
            records_invalid=judged.invalid,
            findings_errors=judged.errors,
            findings_warnings=judged.warnings,
            findings_by_code=judged.by_code,
        )
        self._publish(ref, folder)
        log.info("validated", import_id=ref.import_id, records=judged.records, errors=judged.errors)
        return judged.verdict(dry_run=self._ledger.known(ref.import_id).options.dry_run)

    def _loaded_before(self, known: ImportRecord, dataset: Dataset) -> ImportRecord | None:
        """The earlier import that loaded this very content, if one did, and if it is to matter.

        A dry run asks what a load would do, and whoever promotes one has seen the answer.
        """
        if known.options.dry_run or known.promoted:
            return None
        return self._ledger.loaded_before(known, dataset.version)

    def _duplicate(self, known: ImportRecord, earlier: ImportRecord) -> Verdict:
        self._ledger.update(known.id, duplicate_of=earlier.id)
        said = (
            f"Import {earlier.id} ({earlier.filename}) has loaded this very content, and no import has changed"
            f" {known.dataset} since. To load it again, upload it with force."
        )
        return Verdict(0, 0, 0, known=said)

    def _taken_over(self, known: ImportRecord, earlier: ImportRecord, dataset: Dataset) -> findings.Counted | None:
        """What validation said of this content before, with the report, if it would say the same again."""
        with heartbeating():
            try:
                manifest = self._stored_manifest(earlier.id)
                said = reuse_verdict.said_before(earlier, manifest, dataset, self._cutting(known.id))
                if said:
                    reuse_verdict.copy_report(self._store, earlier.id, known.id, beat=beat)
                return said
            except (NotThere, InvalidRequest):
                return None

    def _cutting(self, import_id: str) -> BatchSizes:
        return BatchSizes(import_id, self._settings.batch_records, self._settings.batches_per_part)

    def _judge(self, known: ImportRecord, dataset: Dataset, folder: Path) -> findings.Counted:
        """Fill ``folder``, which has the import's object, with the report on it and, if it may be loaded, its parts.

        Raises Crashed.
        """
        return process.run(
            validate_file.validate,
            folder,
            dataset,
            known.filename,
            known.id,
            self._cutting(known.id),
            known.options,
            **self._limits(),
            heartbeat=beat,
            answer=lambda _: self._edges(dataset, folder),  # where the question lies we know, and need not be told
        )

    def _refuse(self, ref: ImportRef, folder: Path, error: RejectedFile) -> findings.Counted:
        """The report on a file that is refused as a whole."""
        try:
            dataset = self._dataset(ref)
        except RejectedFile:
            dataset = blank_dataset(ref.dataset)
        return process.run(validate_file.refuse, folder, dataset, error, ref.import_id, **self._limits(), heartbeat=beat)

    def _given_up(self, ref: ImportRef, folder: Path, crash: Crashed) -> findings.Counted:
        """The report on a file that ends every child that reads it. Raises ``crash`` while another attempt may end better."""
        if activity.info().attempt < READING_ATTEMPTS:
            raise crash
        log.warning("file given up", import_id=ref.import_id, why=str(crash))
        hint = "Export it again, in another format perhaps, or upload it in several files."
        return self._refuse(ref, folder, RejectedFile(f"The file could not be read: {crash}", hint=hint))

    def _hold_back(self, ref: ImportRef, folder: Path, judged: findings.Counted) -> None:
        """Enter what is in quarantine, or that nothing is."""
        rows = folder / validate_file.QUARANTINE if judged.quarantined else None
        with heartbeating():
            self._ledger.quarantine(ref.import_id, judged.quarantined, rows)

    @activity.defn(name=PREPARE.name, no_thread_cancel_exception=True)
    @converts_errors
    def prepare(self, ref: ImportRef) -> Plan:
        """Store the parts, which hold the records in parents-first batches, the manifest last."""
        self._ledger.check_canceled(ref.import_id)
        if self._ledger.known(ref.import_id).state is State.LOADING:  # this very step was cut off after its last write
            manifest = self._stored_manifest(ref.import_id)
        else:
            manifest = self._prepared(ref)
        pause_wanted = self._ledger.known(ref.import_id).pause_wanted
        return replace(manifest.plan, parallel=self._settings.max_parallel_parts + AHEAD, pause_wanted=pause_wanted)

    def _prepared(self, ref: ImportRef) -> Manifest:
        self._ledger.move(ref.import_id, State.PREPARING)
        manifest = self._copy_parts(ref) or self._store_parts(ref)
        self._store.put_bytes(manifest_key(ref.import_id), manifest.to_json().encode(), content_type="application/json")
        self._ledger.update(ref.import_id, parts_total=len(manifest.parts))
        self._ledger.move(ref.import_id, State.LOADING)
        return manifest

    def _store_parts(self, ref: ImportRef) -> Manifest:
        manifest, folder = self._cut(ref)
        self._store_files([(part_key(ref.import_id, p.part_no), folder / p.filename) for p in manifest.parts])
        return manifest

    def _copy_parts(self, ref: ImportRef) -> Manifest | None:
        """Those of the import whose validation was taken over; None if none was, or if they have gone since."""
        earlier_id = self._ledger.known(ref.import_id).reading.get(reuse_verdict.TAKEN_OVER_FROM)
        if earlier_id is None:
            return None
        with heartbeating():
            try:
                return reuse_verdict.copy_parts(self._store, self._stored_manifest(earlier_id), ref.import_id, beat=beat)
            except (NotThere, InvalidRequest):
                return None

    def _cut(self, ref: ImportRef) -> tuple[Manifest, Path]:
        """How the import was cut, and where its parts are on this machine."""
        folder = self._folder(ref) / validate_file.PARTS
        if not (folder / MANIFEST).exists():
            folder = self._cut_again(ref)
        return Manifest.from_json((folder / MANIFEST).read_text(encoding="utf-8")), folder

    def _cut_again(self, ref: ImportRef) -> Path:
        """Cut the file once more: another worker validated it, or this one lost its disk. Return where the parts are."""
        again = self._attempt_folder(ref)
        dataset = self._dataset(ref)
        judged = self._judge(self._fetch(ref, again), dataset, again)
        self._hold_back(ref, again, judged)
        if not judged.verdict().accepted:
            raise FileReplaced("The warehouse was changed after the file was validated.", code="file_replaced")
        return self._publish(ref, again)

    @activity.defn(name=PREVIEW.name, no_thread_cancel_exception=True)
    @converts_errors
    def preview(self, ref: ImportRef) -> DryRunCounts:
        """Compare the parts with the warehouse as the load would; nothing is written there, and no part is stored."""
        self._ledger.check_canceled(ref.import_id)
        manifest, folder = self._cut(ref)
        dataset = load_dataset(ref.dataset, self._settings.datasets_root)
        parts = [(folder / part.filename, part.sha256) for part in manifest.parts]
        with heartbeating(), self._engine.connect() as connection:
            raw: Any = connection.connection.driver_connection
            foreseen = dry_run.preview(raw, dataset, parts, beat=beat)
        self._ledger.update(ref.import_id, preview=foreseen.to_json())
        return foreseen

    @activity.defn(name=LOAD_PART.name, no_thread_cancel_exception=True)
    @converts_errors
    def load_part(self, part: PartRef) -> PartResult:
        """Fetch one part and upsert it, in one transaction with its row in the ledger."""
        ref, part_no = part.ref, part.part_no
        self._ledger.check_canceled(ref.import_id)
        path = self._folder(ref) / f"load-{part_no:06d}-{uuid.uuid4().hex[:8]}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        with heartbeating():
            try:
                self._store.get_file(part_key(ref.import_id, part_no), path, beat=beat)
                return self._with_part(load.load_part, part, path)
            except NotThere as error:
                raise DamagedPart("it is not where it was stored") from error
            finally:
                path.unlink(missing_ok=True)

    @activity.defn(name=GIVE_UP_PART.name, no_thread_cancel_exception=True)
    @converts_errors
    def give_up_part(self, part: PartRef) -> PartResult:
        """Enter the records of a part that is damaged as failures. Which they are tells the file itself, cut once more."""
        ref, part_no = part.ref, part.part_no
        self._ledger.check_canceled(ref.import_id)
        log.warning("part given up", import_id=ref.import_id, part_no=part_no, why=part.reason)
        reason = f"The stored part {part_no} is damaged: {part.reason}. The file is not at fault: retry the failed records."
        with heartbeating():
            try:
                _, folder = self._cut(ref)
                path = folder / self._manifest(ref.import_id).part(part_no).filename
                return self._with_part(load.give_up_part, part, path, code="part_damaged", reason=reason)
            except (DamagedPart, RejectedFile) as error:
                raise InvalidRequest(f"Part {part_no} is damaged, and cannot be made again from the file: {error}") from error

    def _with_part(self, do: Callable[..., PartResult], part: PartRef, path: Path, **options: str) -> PartResult:
        """Load the part in ``path``, or give it up, on a connection of the pool."""
        ref, part_no = part.ref, part.part_no
        dataset = load_dataset(ref.dataset, self._settings.datasets_root)
        with self._engine.connect() as connection:
            raw = connection.connection.driver_connection
            with_part = partial(do, raw, dataset, beat=beat, **options)
            expected = self._expected(ref, part_no, path)
            try:
                return with_part(expected)
            except DamagedPart:
                self._manifest.cache_clear()  # the import may have been cut again since
                if expected == (now := self._expected(ref, part_no, path)):
                    raise
            return with_part(now)

    def _expected(self, ref: ImportRef, part_no: int, path: Path) -> PartFile:
        """Return the part in ``path`` as the manifest describes it; with an empty checksum if it has no such part."""
        manifest = self._manifest(ref.import_id)
        if part_no > len(manifest.parts):
            return PartFile(path, ref.import_id, part_no, "")
        part = manifest.part(part_no)
        return PartFile(path, ref.import_id, part_no, part.sha256, part.needs)

    # --- a pause ---

    @activity.defn(name=HOLD.name)
    @converts_errors
    def hold(self, ref: ImportRef) -> PauseState:
        """Enter that the import stands still, if that is still wanted."""
        with heartbeating():
            self._ledger.check_canceled(ref.import_id)
            wanted = self._ledger.known(ref.import_id).pause_wanted
            if wanted:
                self._ledger.move(ref.import_id, State.PAUSED)
        return PauseState(wanted)

    @activity.defn(name=GO_ON.name)
    @converts_errors
    def go_on(self, ref: ImportRef) -> PauseState:
        """Enter that the import goes on, if it stood still."""
        with heartbeating():
            self._ledger.move(ref.import_id, State.LOADING)
        return PauseState(False)

    @functools.lru_cache(maxsize=8)  # noqa: B019 - one Activities lives as long as its worker
    def _manifest(self, import_id: str) -> Manifest:
        return self._stored_manifest(import_id)

    def _stored_manifest(self, import_id: str) -> Manifest:
        try:
            return Manifest.from_json(self._store.get_bytes(manifest_key(import_id)).decode())
        except (NotThere, ValueError, TypeError, KeyError) as error:
            raise InvalidRequest(
                f"The manifest of the stored parts is gone or damaged: {error}. Upload the file again."
            ) from error

    @activity.defn(name=FINISH.name, no_thread_cancel_exception=True)
    @to_its_end
    def finish(self, ending: Ending) -> Outcome:
        """Close the books: the counts must balance; failures are stored. Marts are brought up to date elsewhere, afterwards.

        Raises PartsLost or Rewound if the ledger does not know any more what was done.
        """
        ref = ending.ref
        known = self._ledger.known(ref.import_id)
        if known.state.is_final:  # this very step was cut off after its last write
            return Outcome(known.id, known.state, known.reason)
        if known.promoted and not ref.promoted:  # the same, and its dry run was promoted before we came back
            return Outcome(known.id, State.VALIDATED)
        with heartbeating():
            if ending.state is None:
                self._demand_all_parts(known)
            known = self._ledger.close(ref.import_id)
            state, reason = self._closing(known, ending)
            fault = ending.fault
            if fault is None and self._clerk.has_to_write(known):
                if ending.apart:
                    return Outcome(known.id, known.state, is_final=False)
                fault = self._clerk.write_at_once(replace(known, reason=reason), beat=activity.heartbeat)
            if fault:
                state, reason = (state, f"{reason}; {fault}") if state is State.CANCELED else (State.FAILED, fault)
            if state in (State.SUCCEEDED, State.PARTIALLY_SUCCEEDED) and (damage := self._damage(known)):
                state, reason = State.FAILED, damage
            self._store_summary(known, state, reason)
            is_changed = bool(known.inserted or known.updated)
            has_marts = is_changed and self._marts.want(ref.dataset)
            unprocessed = known.records_total - known.processed
            try:
                self._ledger.move(ref.import_id, state, reason, unprocessed=unprocessed)
            except Canceled:  # asked for while the books were being closed
                return self.finish(replace(ending, state=State.CANCELED, reason=CANCELED_BY_USER))
            if is_changed:
                self._have_readers_served(ref, has_marts=has_marts)
        shutil.rmtree(self._folder(ref), ignore_errors=True)
        log.info("finished", import_id=ref.import_id, state=state, **known.counts)
        return Outcome(ref.import_id, state, reason)

    def _damage(self, known: ImportRecord) -> str:
        """What another client's writes to the warehouse did to the import; empty if nothing."""
        if not (known.inserted or known.updated):
            return ""
        with self._engine.connect() as connection:
            raw: Any = connection.connection.driver_connection
            return foreign_writes.damage(raw, self._dataset(known.ref), known.id, known.inserted + known.updated)

    def _demand_all_parts(self, known: ImportRecord) -> None:
        """Raises PartsLost or Rewound if the ledger has forgotten what the workflow has seen done, as after a failover."""
        if known.state in load.NOT_YET:
            raise Rewound
        if len(self._ledger.part_numbers(known.id)) < len(self._manifest(known.id).parts):
            raise PartsLost

    def _have_readers_served(self, ref: ImportRef, *, has_marts: bool) -> None:
        """What makes reading new or fast again, but holds up nothing: the import is over."""
        try:
            if has_marts:
                self._orchestrator.refresh_marts(ref.dataset)
            else:
                existing_edges.analyze(self._engine, ref.dataset)
        except (TransientError, SystemFault, *DATABASE_ERRORS) as error:  # reconciliation will, and autovacuum
            log.warning("not refreshed yet", dataset=ref.dataset, why=str(error))

    @activity.defn(name=REFRESH_MARTS.name, no_thread_cancel_exception=True)
    @converts_errors
    def refresh_marts(self, run: MartsRun) -> None:
        """Bring a dataset's marts up to date, once the planner knows of what was loaded."""
        existing_edges.analyze(self._engine, run.dataset)
        self._marts.refresh(run.dataset, seconds=self._settings.mart_seconds, beat=beat)

    @staticmethod
    def _closing(known: ImportRecord, ending: Ending) -> tuple[State, str]:
        """The final state. Only if every record is accounted for may it be a success; a request to cancel goes before all."""
        if known.cancel_requested:
            return State.CANCELED, CANCELED_BY_USER
        if ending.state is not None:
            return ending.state, ending.reason
        processed = known.processed
        if processed != known.records_total:
            return State.FAILED, (
                f"The counts do not balance: {counted(known.records_total, 'record')} in the file, {processed:,} accounted for."
                " This is a fault of the system, not of the file; please report it."
            )
        if not known.failed:
            return State.SUCCEEDED, ""
        held, refused, total = known.quarantined, known.failed - known.quarantined, counted(processed, "record")
        said = [f"{held:,} of {total} {'is' if held == 1 else 'are'} in quarantine."] if held else []
        said += [f"The warehouse refused {refused:,} of {total} for good."] if refused else []
        return State.PARTIALLY_SUCCEEDED, " ".join(said)

    @activity.defn(name=CLOSE.name)
    @converts_errors
    def close(self, ending: Ending) -> Outcome:
        """Close the books of an import whose runs end without doing so: by the ledger alone, so that nothing else can fail."""
        known = self._ledger.known(ending.ref.import_id)
        if known.state.is_final:
            return Outcome(known.id, known.state, known.reason)
        with heartbeating():
            known = self._ledger.close(known.id)
            state, reason = self._closing(known, ending)
            try:
                self._ledger.move(known.id, state, reason, unprocessed=known.records_total - known.processed)
            except Canceled:  # asked for in this very moment
                return self.close(ending)
        log.warning("closed", import_id=known.id, state=state, reason=reason)
        return Outcome(known.id, state, reason)

    # --- what no event announced ---

    @activity.defn(name=RECONCILE.name)
    @converts_errors
    def reconcile(self) -> Reconciled:
        """Announce what no event announced, and have marts refreshed that were forgotten."""
        with heartbeating():
            for dataset in self._marts.due():
                self._orchestrator.refresh_marts(dataset)
            return self._reconciler.reconcile(beat=beat)

    @activity.defn(name=CLEAN.name, no_thread_cancel_exception=True)
    @converts_errors
    def clean(self, run: CleanRun) -> Cleaned:
        """Remove what is not kept any longer."""
        with heartbeating():
            return retention.clean(self._settings, self._store, self._ledger, dry_run=run.dry_run, beat=beat)

    # --- what several steps need ---

    def _dataset(self, ref: ImportRef) -> Dataset:
        """The import's dataset. A file can be dropped under a name that is none: then that is the file's fault."""
        try:
            return load_dataset(ref.dataset, self._settings.datasets_root)
        except UnknownDataset as error:
            hint = "Put the file under incoming/<dataset>/ with the name of one of them."
            raise RejectedFile(str(error), code="unknown_dataset", hint=hint) from error

    def _fetch(self, ref: ImportRef, folder: Path) -> ImportRecord:
        """Download the import's object, and enter what it is. Raises FileReplaced, also if it was removed."""
        hint = "The newer file has an import of its own. Give every file a name of its own."
        if import_id_in(ref.key) == ref.import_id:
            hint = "The newer file is not imported: upload it."
        try:
            stored = self._store.get_file(ref.key, folder / validate_file.SOURCE, etag=ref.etag, beat=beat)
        except FileReplaced as error:
            raise FileReplaced(str(error), code="file_replaced", hint=hint) from error
        except NotThere as error:
            raise FileReplaced("The file was removed before it could be read.", code="file_removed") from error
        if ref.promoted and stored.sha256 != self._ledger.known(ref.import_id).sha256:
            raise FileReplaced("These are not the bytes that the dry run validated.", code="file_replaced", hint=hint)
        self._ledger.update(ref.import_id, sha256=stored.sha256, size_bytes=stored.size_bytes)
        return self._ledger.known(ref.import_id)

    def _edges(self, dataset: Dataset, folder: Path) -> Path:
        """The warehouse's edges around a file, which asks for them in ``folder``."""
        edges = folder / validate_file.EDGES
        existing_edges.edges(self._engine, dataset, folder / validate_file.WANTED, edges, beat=beat)
        return edges

    def _folder(self, ref: ImportRef) -> Path:
        return self._settings.work_dir / ref.import_id

    def _fresh_folder(self, ref: ImportRef) -> Path:
        """Remove what earlier attempts left, and make a folder for this one."""
        shutil.rmtree(self._folder(ref), ignore_errors=True)
        return self._attempt_folder(ref)

    def _attempt_folder(self, ref: ImportRef) -> Path:
        """Make a folder of this attempt's own: one that slept and wakes up finds none of its successor's files."""
        folder = self._folder(ref) / f"attempt-{uuid.uuid4().hex[:8]}"
        folder.mkdir(parents=True)
        return folder

    def _publish(self, ref: ImportRef, folder: Path) -> Path:
        """Give the parts in an attempt's ``folder``, if there are any, to later steps, whole; return where they are then.

        The rest of the folder is removed. Of attempts that publish at once, all of which have cut the same, one is enough.
        """
        parts, published = folder / validate_file.PARTS, self._folder(ref) / validate_file.PARTS
        if (parts / MANIFEST).exists():
            try:
                parts.rename(published)
            except OSError:
                if not (published / MANIFEST).exists():
                    raise
        shutil.rmtree(folder, ignore_errors=True)
        return published

    def _limits(self) -> dict[str, Any]:
        return {
            "memory_bytes": self._settings.validation_memory_bytes,
            "seconds": self._settings.validation_seconds,
        }

    def _store_folder(self, folder: Path, prefix: str) -> None:
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        self._store_files([(prefix + path.relative_to(folder).as_posix(), path) for path in files])

    def _store_files(self, files: list[tuple[str, Path]]) -> None:
        self._store.put_files(files, beat=beat)

    # --- what became of the rows ---

    @activity.defn(name=WRITE_FAILED.name, no_thread_cancel_exception=True)
    @to_its_end
    def write_failed(self, ending: Ending) -> Written:
        """Write the files of results that an import has at its end: of what failed, and of what was left over."""
        known = self._ledger.known(ending.ref.import_id)
        if known.state.is_final:
            return Written()
        _, reason = self._closing(known, ending)
        return Written(self._clerk.write_at_once(replace(known, reason=reason), beat=activity.heartbeat))

    @activity.defn(name=WRITE_RESULTS.name, no_thread_cancel_exception=True)
    @converts_errors
    def write_results(self, wanted: ResultsWanted) -> None:
        """Write a file of results that is not among those that are written at once."""
        with heartbeating():
            self._clerk.write(self._ledger.known(wanted.ref.import_id), {wanted.fate: [wanted.form]}, beat=beat)

    def _store_summary(self, known: ImportRecord, state: State, reason: str) -> None:
        summary = replace(known, state=state, reason=reason).to_json(self._settings.url)
        self._store.put_bytes(
            results_prefix(known.id) + "summary.json", findings.as_json(summary), content_type="application/json"
        )


async def _end_of(client: Client, workflow_id: str) -> None:
    """Wait for the end of a workflow, also of one that Temporal has forgotten."""
    try:
        await client.get_workflow_handle(workflow_id).result()
    except WorkflowFailureError:
        return
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
