"""One short method per workflow step: fetch what the step needs, call the stage, write down what came of it.

This is one of the three places where errors are caught: here they are told apart for Temporal. A fault of the file or of a
request is never tried again; a fault of the world is, with backoff; anything else is a mistake of ours, and gets a few tries
before the import fails with it.
"""

from __future__ import annotations

import functools
import json
import shutil
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import replace
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from temporalio import activity
from temporalio.exceptions import ApplicationError, CancelledError

from pipeline import batch, groups, load, notify, report, sandbox, validation, warehouse
from pipeline.contracts import (
    ADDRESSEES,
    DELIVER,
    FINISH,
    LOAD_PART,
    PREPARE,
    PREVIEW,
    RECONCILE,
    REGISTER,
    VALIDATE,
    Arrival,
    Delivery,
    Ending,
    ImportRef,
    Outcome,
    PartRef,
    PartResult,
    Plan,
    Preview,
    Reconciled,
    Registration,
    State,
    Told,
    Verdict,
    dataset_of,
    import_id_for,
    import_id_in,
    manifest_key,
    part_key,
    report_prefix,
    results_prefix,
)
from pipeline.datasets import Dataset, blank_dataset, load_dataset
from pipeline.errors import (
    BulkheadError,
    Crashed,
    FileIsWrong,
    FileReplaced,
    NotUsable,
    UnknownDataset,
    WorldIsWrong,
)
from pipeline.ledger import Import, Ledger
from pipeline.orchestrator import Orchestrator
from pipeline.settings import Settings
from pipeline.store import NotThere, Store, Stored

log = structlog.get_logger()

BEAT_SECONDS = 2.0
UNEXPECTED_ATTEMPTS = 5
"""A mistake of ours may be a passing one (a full disk, say); after this many attempts it is taken for lasting."""
READING_ATTEMPTS = 3
"""A child may die of the machine's troubles rather than the file's; a file of which so many died is refused."""

P = ParamSpec("P")
R = TypeVar("R")


def _told_apart(step: Callable[P, R]) -> Callable[P, R]:
    """Give every error the form in which Temporal either tries again or does not."""

    @functools.wraps(step)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return step(*args, **kwargs)
        except (CancelledError, ApplicationError):
            raise
        except WorldIsWrong as error:
            raise ApplicationError(str(error), type=_family(error)) from error
        except BulkheadError as error:
            raise ApplicationError(str(error), type=_family(error), non_retryable=True) from error
        except (DBAPIError, PoolTimeout) as error:
            raise ApplicationError(f"PostgreSQL does not answer as it should: {error}", type="Unreachable") from error
        except Exception as error:
            last = activity.info().attempt >= UNEXPECTED_ATTEMPTS
            log.exception("step failed", step=activity.info().activity_type, attempt=activity.info().attempt)
            message = f"{type(error).__name__}: {error}"
            raise ApplicationError(message, type=type(error).__name__, non_retryable=last) from error

    return run


def _family(error: BulkheadError) -> str:
    """The name that the workflow knows the error by; the file's faults share one."""
    return FileIsWrong.__name__ if isinstance(error, FileIsWrong) else type(error).__name__


def _beat(*details: object) -> None:
    """Tell Temporal that we live; raise if the import was canceled meanwhile."""
    activity.heartbeat(*details)
    if activity.is_cancelled():
        raise CancelledError("canceled")


@contextmanager
def _beating() -> Iterator[None]:
    """Heartbeats beside a call that cannot give any itself, such as a long statement in PostgreSQL."""
    over, context = threading.Event(), copy_context()

    def beat() -> None:
        while not over.wait(BEAT_SECONDS):
            activity.heartbeat()

    thread = threading.Thread(target=context.run, args=(beat,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


class Activities:
    """The steps, on one worker's edges: its settings, store and warehouse."""

    def __init__(self, settings: Settings, store: Store, engine: Engine, orchestrator: Orchestrator) -> None:
        self._settings = settings
        self._store = store
        self._engine = engine
        self._ledger = Ledger(engine)
        self._orchestrator = orchestrator

    @property
    def all(self) -> list[Callable[..., Any]]:
        """What a worker registers."""
        return [
            self.register,
            self.validate,
            self.prepare,
            self.preview,
            self.load_part,
            self.finish,
            self.addressees,
            self.deliver,
            self.reconcile,
        ]

    # --- the journey ---

    @activity.defn(name=REGISTER.name)
    @_told_apart
    def register(self, arrival: Arrival) -> Registration:
        """Write a newly arrived object into the ledger; an object known already is admitted only if it is not done.

        An arrival that names its import is of what lay there when that was validated or stranded, whatever lies there now.
        """
        if arrival.import_id:
            meant = self._known(arrival.import_id)
            return Registration(meant.ref, admitted=not meant.state.is_final)
        stored = self._store.head(arrival.key)
        if stored is None:
            return Registration(None, admitted=False)
        import_id = self._import_id(arrival.bucket, stored)
        self._ledger.open(
            import_id,
            dataset=dataset_of(arrival.key) or "",
            filename=Path(arrival.key).name,
            bucket=arrival.bucket,
            key=arrival.key,
            state=State.QUEUED,
            size_bytes=stored.size_bytes,
            etag=stored.etag,
        )
        known = self._known(import_id)
        if known.state is State.AWAITING_UPLOAD:  # its event was faster than the upload's own answer
            self._ledger.uploaded(import_id, size_bytes=stored.size_bytes, sha256="", etag=stored.etag)
        return Registration(replace(known.ref, etag=stored.etag), admitted=not known.state.is_final)

    def _import_id(self, bucket: str, stored: Stored) -> str:
        """The id in an uploaded file's key, unless another file was put over it; a dropped file has one of its own."""
        own = import_id_in(stored.key)
        known = self._ledger.get(own) if own else None
        if known and known.key == stored.key and known.etag in ("", stored.etag):
            return known.id
        modified = stored.modified.isoformat() if stored.modified else ""
        return import_id_for(bucket, stored.key, stored.etag, modified)

    @activity.defn(name=VALIDATE.name, no_thread_cancel_exception=True)
    @_told_apart
    def validate(self, ref: ImportRef) -> Verdict:
        """Download, read strictly, check everything against file and warehouse; store the findings and their pages."""
        self._ledger.move(ref.import_id, State.VALIDATING)
        folder = self._fresh_folder(ref)
        try:
            judgement = self._judge(ref, folder)
        except Crashed as error:
            judgement = self._given_up(ref, folder, error)
        self._store_folder(folder / "report", report_prefix(ref.import_id))
        if ref.promoted:
            self._store.delete_prefix(results_prefix(ref.import_id))  # those of the dry run
        warehouse.keep_findings(self._engine, ref.import_id, folder / "report" / "findings.parquet", beat=_beat)
        self._ledger.update(
            ref.import_id,
            reading=judgement.reading,
            quarantined=judgement.quarantined,
            records_total=judgement.records,
            records_valid=judgement.records - judgement.invalid,
            records_invalid=judgement.invalid,
            findings_errors=judgement.errors,
            findings_warnings=judgement.warnings,
            findings_by_code=judgement.by_code,
        )
        log.info("validated", import_id=ref.import_id, records=judgement.records, errors=judgement.errors)
        return Verdict(
            judgement.records,
            judgement.errors,
            judgement.warnings,
            quarantined=judgement.quarantined,
            refusal=judgement.refusal,
            dry_run=self._known(ref.import_id).options.dry_run,
        )

    def _judge(self, ref: ImportRef, folder: Path) -> report.Counted:
        """Fill ``folder`` with the report on the import's object and, if it may be loaded, its parts; enter the quarantine."""
        judgement = self._read_and_judge(ref, folder)
        rows = folder / validation.QUARANTINE if judgement.quarantined else None
        with _beating():
            self._ledger.hold_back(ref.import_id, judgement.quarantined, rows)
        return judgement

    def _read_and_judge(self, ref: ImportRef, folder: Path) -> report.Counted:
        dataset = blank_dataset(ref.dataset)
        try:
            dataset = self._dataset(ref)
            stored = self._fetch(ref, folder)
        except FileIsWrong as error:
            return sandbox.run(validation.refuse, folder, dataset, error, ref.import_id, **self._limits(), heartbeat=_beat)
        self._ledger.update(ref.import_id, sha256=stored.sha256, size_bytes=stored.size_bytes)
        settings, known = self._settings, self._known(ref.import_id)
        return sandbox.run(
            validation.validate,
            folder,
            dataset,
            known.filename,
            ref.import_id,
            batch.Cutting(ref.import_id, settings.batch_records, settings.batches_per_part),
            known.options,
            **self._limits(),
            heartbeat=_beat,
            answer=functools.partial(self._edges, dataset),
        )

    def _given_up(self, ref: ImportRef, folder: Path, crash: Crashed) -> report.Counted:
        """The report on a file that ends every child that reads it. Raises ``crash`` while another attempt may end better."""
        if activity.info().attempt < READING_ATTEMPTS:
            raise crash
        log.warning("file given up", import_id=ref.import_id, why=str(crash))
        hint = "Export it again, in another format perhaps, or upload it in several files."
        refusal = FileIsWrong(f"The file could not be read: {crash}", hint=hint)
        dataset = self._dataset(ref)
        return sandbox.run(validation.refuse, folder, dataset, refusal, ref.import_id, **self._limits(), heartbeat=_beat)

    @activity.defn(name=PREPARE.name, no_thread_cancel_exception=True)
    @_told_apart
    def prepare(self, ref: ImportRef) -> Plan:
        """Store the parts, which hold the records in parents-first batches, the manifest last."""
        self._ledger.move(ref.import_id, State.PREPARING)
        manifest, folder = self._cut(ref)
        self._store_files([(part_key(ref.import_id, p.part_no), folder / p.filename) for p in manifest.parts])
        self._store.put_bytes(manifest_key(ref.import_id), manifest.to_json().encode(), content_type="application/json")
        self._ledger.update(ref.import_id, parts_total=len(manifest.parts))
        self._ledger.move(ref.import_id, State.LOADING)
        return replace(manifest.plan, parallel=self._settings.max_parallel_parts)

    def _cut(self, ref: ImportRef) -> tuple[batch.Manifest, Path]:
        """How the import was cut, and where its parts are on this machine."""
        folder = self._folder(ref) / validation.PARTS
        if not (folder / batch.MANIFEST).exists():  # another worker validated it, or this one lost its disk
            judgement = self._judge(ref, self._fresh_folder(ref))
            if not judgement.accepted:
                raise FileReplaced("The file was replaced or removed after it was validated.", code="file_replaced")
        return batch.Manifest.from_json((folder / batch.MANIFEST).read_text(encoding="utf-8")), folder

    @activity.defn(name=PREVIEW.name, no_thread_cancel_exception=True)
    @_told_apart
    def preview(self, ref: ImportRef) -> Preview:
        """Compare the parts with the warehouse as the load would; nothing is written there, and no part is stored."""
        manifest, folder = self._cut(ref)
        dataset = load_dataset(ref.dataset, self._settings.datasets_root)
        parts = [(folder / part.filename, part.sha256) for part in manifest.parts]
        with _beating(), self._engine.connect() as connection:
            raw: Any = connection.connection.driver_connection
            foreseen = load.preview(raw, dataset, parts, beat=_beat)
        self._ledger.update(ref.import_id, preview=foreseen.to_json())
        return foreseen

    @activity.defn(name=LOAD_PART.name, no_thread_cancel_exception=True)
    @_told_apart
    def load_part(self, part: PartRef) -> PartResult:
        """Fetch one part and upsert it, in one transaction with its row in the ledger."""
        ref, part_no = part.ref, part.part_no
        dataset = load_dataset(ref.dataset, self._settings.datasets_root)
        path = self._folder(ref) / f"load-{part_no:06d}-{uuid.uuid4().hex[:8]}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        with _beating():
            try:
                self._store.get_file(part_key(ref.import_id, part_no), path)
                with self._engine.connect() as connection:
                    return load.load_part(
                        connection.connection.driver_connection,  # type: ignore[arg-type]
                        dataset,
                        path,
                        import_id=ref.import_id,
                        part_no=part_no,
                        sha256=self._manifest(ref.import_id).part(part_no).sha256,
                    )
            finally:
                path.unlink(missing_ok=True)

    @functools.lru_cache(maxsize=8)  # noqa: B019 - one Activities lives as long as its worker
    def _manifest(self, import_id: str) -> batch.Manifest:
        return batch.Manifest.from_json(self._store.get_bytes(manifest_key(import_id)).decode())

    @activity.defn(name=FINISH.name, no_thread_cancel_exception=True)
    @_told_apart
    def finish(self, ending: Ending) -> Outcome:
        """Close the books: the counts must balance; failures are stored; marts are brought up to date."""
        ref = ending.ref
        known = self._known(ref.import_id)
        if known.state.is_final:  # this very step was cut off after its last write
            return Outcome(known.id, known.state, known.reason)
        if known.promoted and not ref.promoted:  # the same, and its dry run was promoted before we came back
            return Outcome(known.id, State.VALIDATED)
        with _beating():
            state, reason = self._closing(known, ending)
            if known.failed:
                self._store_failures(ref)
            if known.inserted or known.updated:
                dataset = load_dataset(ref.dataset, self._settings.datasets_root)
                warehouse.analyze(self._engine, dataset)
                warehouse.refresh_marts(self._engine, dataset)
            self._store_summary(known, state, reason)
        processed = known.inserted + known.updated + known.unchanged + known.failed
        self._ledger.move(ref.import_id, state, reason, unprocessed=known.records_total - processed)
        shutil.rmtree(self._folder(ref), ignore_errors=True)
        log.info("finished", import_id=ref.import_id, state=state, **known.counts)
        return Outcome(ref.import_id, state, reason)

    @staticmethod
    def _closing(known: Import, ending: Ending) -> tuple[State, str]:
        """The final state. Only if every record is accounted for may it be a success."""
        if ending.state is not None:
            return ending.state, ending.reason
        processed = known.inserted + known.updated + known.unchanged + known.failed
        if processed != known.records_total:
            return State.FAILED, (
                f"The counts do not balance: {known.records_total:,} records in the file, {processed:,} accounted for."
                " This is a fault of the system, not of the file; please report it."
            )
        if not known.failed:
            return State.SUCCEEDED, ""
        held, refused, total = known.quarantined, known.failed - known.quarantined, f"{processed:,} records"
        said = [f"{held:,} of {total} {'is' if held == 1 else 'are'} in quarantine."] if held else []
        said += [f"The warehouse refused {refused:,} of {total} for good."] if refused else []
        return State.PARTIALLY_SUCCEEDED, " ".join(said)

    # --- telling the user ---

    @activity.defn(name=ADDRESSEES.name)
    @_told_apart
    def addressees(self, outcome: Outcome) -> Told:
        """Who is to be told; each message gets its lasting id now."""
        deliveries = [Delivery(outcome.import_id, "webhook", url) for url in self._settings.webhook_urls]
        deliveries += [Delivery(outcome.import_id, "email", to) for to in self._settings.email_to]
        for one in deliveries:
            name = f"{one.channel}\n{one.target}\n{outcome.state}"
            message_id = f"msg_{uuid.uuid5(uuid.UUID(one.import_id), name).hex}"
            self._ledger.open_delivery(one.import_id, one.channel, one.target, message_id)
        return Told(tuple(deliveries))

    @activity.defn(name=DELIVER.name)
    @_told_apart
    def deliver(self, delivery: Delivery) -> None:
        """Send one message; the ledger keeps how often it was tried and how it ended."""
        known = self._known(delivery.import_id)
        row = next(
            row
            for row in self._ledger.deliveries(delivery.import_id)
            if (row["channel"], row["target"]) == (delivery.channel, delivery.target)
        )
        try:
            self._send(delivery, known.to_json(self._settings.url), row["message_id"])
        except BulkheadError as error:
            self._ledger.delivery_tried(delivery.import_id, delivery.channel, delivery.target, str(error))
            raise
        self._ledger.delivery_tried(delivery.import_id, delivery.channel, delivery.target)

    def _send(self, delivery: Delivery, shown: dict[str, Any], message_id: str) -> None:
        settings, page = self._settings, f"{self._settings.url}/imports/{delivery.import_id}"
        if delivery.channel == "webhook":
            notify.send_webhook(
                delivery.target,
                notify.payload(shown, page=page),
                message_id=message_id,
                secret=settings.webhook_secret,
                allow_private=settings.webhook_allow_private,
            )
            return
        message = notify.compose_email(
            shown,
            page=page,
            sender=settings.email_from,
            to=delivery.target,
            message_id=message_id,
            groups=self._groups(delivery.import_id),
        )
        notify.send_email(message, smtp_url=settings.smtp_url, outbox=settings.outbox_dir)

    def _groups(self, import_id: str) -> list[dict[str, Any]]:
        """What validation found, in groups; none if it never came so far."""
        try:
            found: list[dict[str, Any]] = json.loads(self._store.get_bytes(f"{report_prefix(import_id)}{groups.FILE}"))["items"]
        except NotThere:
            return []
        return found

    # --- what no event announced ---

    @activity.defn(name=RECONCILE.name)
    @_told_apart
    def reconcile(self) -> Reconciled:
        """Announce objects that the ledger does not know, and imports whose queue is gone."""
        seen, missed = 0, list[Arrival]()
        for stored in self._store.list("incoming/"):
            if dataset_of(stored.key) is None:
                continue
            seen += 1
            if self._ledger.get(self._import_id(self._store.bucket, stored)) is None:
                missed.append(Arrival(self._store.bucket, stored.key))
            _beat(seen)
        missed += [Arrival(known.bucket, known.key, known.id) for known in self._stranded()]
        for arrival in missed:
            self._orchestrator.announce(arrival)
        keys = tuple(arrival.key for arrival in missed[:100])
        return Reconciled(seen=seen, started=len(missed), expired=self._ledger.expire_uploads(), keys=keys)

    def _stranded(self) -> list[Import]:
        """Imports under way in the ledger though no queue is at work for their dataset, oldest first."""
        active = self._ledger.active()
        running = {dataset: self._orchestrator.queue_is_running(dataset) for dataset in {one.dataset for one in active}}
        return [one for one in active if not running[one.dataset]]

    # --- what several steps need ---

    def _known(self, import_id: str) -> Import:
        known = self._ledger.get(import_id)
        if known is None:
            raise NotUsable(f"The ledger knows no import {import_id}.")
        return known

    def _dataset(self, ref: ImportRef) -> Dataset:
        """The import's dataset. A file can be dropped under a name that is none: then that is the file's fault."""
        try:
            return load_dataset(ref.dataset, self._settings.datasets_root)
        except UnknownDataset as error:
            hint = "Put the file under incoming/<dataset>/ with the name of one of them."
            raise FileIsWrong(str(error), code="unknown_dataset", hint=hint) from error

    def _fetch(self, ref: ImportRef, folder: Path) -> Stored:
        """Download the import's object. Raises FileReplaced, also if it was removed."""
        hint = "The newer file has an import of its own. Give every file a name of its own."
        try:
            stored = self._store.get_file(ref.key, folder / validation.SOURCE, etag=ref.etag, beat=_beat)
        except FileReplaced as error:
            raise FileReplaced(str(error), code="file_replaced", hint=hint) from error
        except NotThere as error:
            raise FileReplaced("The file was removed before it could be read.", code="file_removed") from error
        if ref.promoted and stored.sha256 != self._known(ref.import_id).sha256:
            raise FileReplaced("These are not the bytes that the dry run validated.", code="file_replaced", hint=hint)
        return stored

    def _edges(self, dataset: Dataset, wanted: Path) -> Path:
        """The warehouse's edges around a file, which asks for them in ``wanted``."""
        edges = wanted.with_name(validation.EDGES)
        warehouse.edges(self._engine, dataset, wanted, edges, beat=_beat)
        return edges

    def _folder(self, ref: ImportRef) -> Path:
        return self._settings.work_dir / ref.import_id

    def _fresh_folder(self, ref: ImportRef) -> Path:
        folder = self._folder(ref)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def _limits(self) -> dict[str, Any]:
        return {
            "memory_bytes": self._settings.validation_memory_bytes,
            "seconds": self._settings.validation_seconds,
        }

    def _store_folder(self, folder: Path, prefix: str) -> None:
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        self._store_files([(prefix + path.relative_to(folder).as_posix(), path) for path in files])

    def _store_files(self, files: list[tuple[str, Path]]) -> None:
        with ThreadPoolExecutor(max_workers=4) as pool:
            for _ in pool.map(lambda item: self._store.put_file(*item), files):
                _beat()

    def _store_failures(self, ref: ImportRef) -> None:
        folder = self._folder(ref) / "results"
        folder.mkdir(parents=True, exist_ok=True)
        own = load_dataset(ref.dataset, self._settings.datasets_root).names
        columns = self._ledger.failure_columns(ref.import_id)
        names = [name for name in own if name in columns] + [name for name in columns if name not in own]
        report.write_failures(self._all_failures(ref.import_id), names, folder)
        self._store_folder(folder, results_prefix(ref.import_id))

    def _all_failures(self, import_id: str) -> Iterator[dict[str, Any]]:
        after = 0
        while page := self._ledger.failures(import_id, after_row=after, limit=5_000):
            yield from page
            after = page[-1]["row"]

    def _store_summary(self, known: Import, state: State, reason: str) -> None:
        summary = replace(known, state=state, reason=reason).to_json(self._settings.url)
        self._store.put_bytes(
            results_prefix(known.id) + "summary.json", report.as_json(summary), content_type="application/json"
        )
