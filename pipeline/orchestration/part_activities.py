"""Activities of a load: load a part, enter a damaged part as failed, pause and resume."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import structlog
from sqlalchemy import Engine
from temporalio import activity

from pipeline.contracts.messages import ImportRef, PartRef, PartResult, PauseState
from pipeline.contracts.object_keys import PartSet
from pipeline.contracts.states import State
from pipeline.contracts.steps import FAIL_PART, LOAD_PART, PAUSE, RESUME
from pipeline.errors import DamagedPart, InternalInconsistency, RejectedFile
from pipeline.ledger.ledger import Ledger
from pipeline.load import load_part as load
from pipeline.load.part_file import PartFile
from pipeline.orchestration.heartbeat_and_failures import beat, converts_errors
from pipeline.orchestration.validator import Validator
from pipeline.settings import Settings
from pipeline.telemetry import metrics
from pipeline.telemetry.catalog import PARTS_IN_FLIGHT
from pipeline.warehouse.dataset_source import DatasetSource

log = structlog.get_logger()


class PartActivities:
    """The steps of a load, on one worker."""

    def __init__(self, settings: Settings, engine: Engine, validator: Validator) -> None:
        self._settings = settings
        self._datasets = DatasetSource(settings, engine)
        self._engine = engine
        self._ledger = Ledger(engine)
        self._validator = validator
        self._parts = validator.parts

    @activity.defn(name=LOAD_PART.name, no_thread_cancel_exception=True)
    @converts_errors
    def load_part(self, part: PartRef) -> PartResult:
        """Fetch a part from S3 and load it, in one transaction with its row in the ledger."""
        self._ledger.imports.check_canceled(part.ref.import_id)
        fetched = self._parts.fetched(part.ref.import_id, part.part_no, beat=beat)
        with metrics.in_flight(PARTS_IN_FLIGHT), fetched as path:
            return self._with_part(load.load_part, part, path)

    @activity.defn(name=FAIL_PART.name, no_thread_cancel_exception=True)
    @converts_errors
    def fail_part(self, part: PartRef) -> PartResult:
        """Enter all records of a damaged part as failed. Which records these are follows from the file, validated again."""
        ref, part_no = part.ref, part.part_no
        self._ledger.imports.check_canceled(ref.import_id)
        log.warning("part is damaged", import_id=ref.import_id, part_no=part_no, why=part.reason)
        reason = f"The stored part {part_no} is damaged: {part.reason}. The file is not at fault: retry the failed records."
        enter_as_failed = partial(load.fail_part, code="part_damaged", reason=reason)
        try:
            self._make_replacement(ref)
            with self._parts.fetched(ref.import_id, part_no, PartSet.REPLACEMENT, beat=beat) as path:
                return self._with_part(enter_as_failed, part, path)
        except (DamagedPart, RejectedFile) as error:
            raise InternalInconsistency(
                f"Part {part_no} is damaged, and cannot be made again from the file: {error}"
            ) from error

    def _make_replacement(self, ref: ImportRef) -> None:
        """Make all parts again, if that was not done for another damaged part; the parts to load stay as they are."""
        expected = self._parts.cached_manifest(ref.import_id)
        if not self._parts.find(ref.import_id, PartSet.REPLACEMENT, records=expected.records):
            self._validator.make_parts_again(ref, PartSet.REPLACEMENT)

    def _with_part(self, do: Callable[..., PartResult], part: PartRef, path: Path) -> PartResult:
        """Call ``do`` with the part in ``path``, on a connection of the pool."""
        ref, part_no = part.ref, part.part_no
        dataset = self._datasets.load(ref.dataset)
        with self._engine.connect() as connection:
            raw = connection.connection.driver_connection
            with_part = partial(do, raw, dataset, beat=beat)
            expected = self._expected(ref, part_no, path)
            try:
                return with_part(expected)
            except DamagedPart:
                self._parts.cached_manifest.cache_clear()  # the parts may have been made again since
                if expected == (now := self._expected(ref, part_no, path)):
                    raise
            return with_part(now)

    def _expected(self, ref: ImportRef, part_no: int, path: Path) -> PartFile:
        """Return the part in ``path`` as the manifest describes it; with an empty SHA-256 if it has no such part."""
        manifest = self._parts.cached_manifest(ref.import_id)
        if part_no > len(manifest.parts):
            return PartFile(path, ref.import_id, part_no, "")
        part = manifest.part(part_no)
        return PartFile(path, ref.import_id, part_no, part.sha256, part.needs)

    # --- pause and resume ---

    @activity.defn(name=PAUSE.name)
    @converts_errors
    def pause(self, ref: ImportRef) -> PauseState:
        """Record that the import is paused, if a pause is still wanted."""
        self._ledger.imports.check_canceled(ref.import_id)
        wanted = self._ledger.imports.known(ref.import_id).pause_wanted
        if wanted:
            self._ledger.imports.move(ref.import_id, State.PAUSED)
        return PauseState(wanted)

    @activity.defn(name=RESUME.name)
    @converts_errors
    def resume(self, ref: ImportRef) -> PauseState:
        """Record that the import is loading again, if it was paused."""
        self._ledger.imports.move(ref.import_id, State.LOADING)
        return PauseState(False)
