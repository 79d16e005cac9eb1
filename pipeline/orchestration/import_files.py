"""What the activities of one import share: its dataset, its scratch folders and its source file."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.adapters.s3 import NotThere, Store
from pipeline.contracts.messages import ImportRef
from pipeline.contracts.object_keys import import_id_in
from pipeline.contracts.patches import CORRECTION_FILE, Correction
from pipeline.datasets.dataset import Dataset
from pipeline.errors import FileReplaced, RejectedFile, UnknownDataset
from pipeline.ledger.ledger import Ledger
from pipeline.ledger.models import ImportRecord
from pipeline.orchestration.heartbeat_and_failures import beat
from pipeline.settings import Settings
from pipeline.telemetry import tracing
from pipeline.warehouse.dataset_source import DatasetSource


def fetch_correction(store: Store, known: ImportRecord, sha256: str, folder: Path) -> None:
    """Download the correction that a retry is read with, if it is one, to where reading looks for it.

    ``sha256``: of the file. Raises FileReplaced if the correction is gone, or was made for another file.
    """
    if known.options.patch is None:
        return
    try:
        stored = store.get_bytes(known.options.patch)
        made_for = Correction.from_bytes(stored).sha256
    except (NotThere, ValueError) as error:
        hint = "Upload the file once more, and edit that import."
        raise FileReplaced("The edits of this import are not kept any more.", code="patch_mismatch", hint=hint) from error
    if made_for != sha256:
        said = "The edits were made for another version of the file, and were not applied."
        raise FileReplaced(said, code="patch_mismatch", hint="Import the file without them, and edit that import.")
    (folder / CORRECTION_FILE).write_bytes(stored)


class ImportFiles:
    """The files of imports on one worker. Nothing in a scratch folder outlives the attempt that made it."""

    def __init__(self, settings: Settings, store: Store, ledger: Ledger) -> None:
        self._settings = settings
        self._datasets = DatasetSource(settings, ledger.engine)
        self._store = store
        self._ledger = ledger

    def dataset(self, ref: ImportRef) -> Dataset:
        """Return the dataset of an import. Raises RejectedFile: a file may be put under any name into the bucket."""
        try:
            return self._datasets.load(ref.dataset)
        except UnknownDataset as error:
            hint = "Put the file under incoming/<dataset>/ with the name of one of them."
            raise RejectedFile(str(error), code="unknown_dataset", hint=hint) from error

    def fetch(self, ref: ImportRef, to: Path) -> ImportRecord:
        """Download the source file, record its size and checksum, and return the import.

        Raises FileReplaced if the object was replaced or removed, or is not what the promoted dry run has validated.
        """
        hint = "The newer file has an import of its own. Give every file a name of its own."
        if import_id_in(ref.key) == ref.import_id:
            hint = "The newer file is not imported: upload it."
        try:
            with tracing.span("download file", import_id=ref.import_id, dataset=ref.dataset) as span:
                stored = self._store.get_file(ref.key, to, etag=ref.etag, beat=beat)
                span.set(size_bytes=stored.size_bytes)
        except FileReplaced as error:
            raise FileReplaced(str(error), code="file_replaced", hint=hint) from error
        except NotThere as error:
            raise FileReplaced("The file was removed before it could be read.", code="file_removed") from error
        if ref.promoted and stored.sha256 != self._ledger.imports.known(ref.import_id).sha256:
            raise FileReplaced("The file has changed since the dry run validated it.", code="file_replaced", hint=hint)
        self._ledger.imports.update(ref.import_id, sha256=stored.sha256, size_bytes=stored.size_bytes)
        known = self._ledger.imports.known(ref.import_id)
        fetch_correction(self._store, known, stored.sha256, to.parent)
        return known

    def folder(self, import_id: str) -> Path:
        """Return the folder of an import in the worker's scratch space."""
        return self._settings.work_dir / import_id

    def remove(self, import_id: str) -> None:
        """Remove the scratch folder of an import with all that is in it."""
        shutil.rmtree(self.folder(import_id), ignore_errors=True)

    @contextmanager
    def attempt_folder(self, import_id: str) -> Iterator[Path]:
        """Make a scratch folder for this attempt alone, and remove it afterwards.

        An attempt that slept and wakes up beside its successor finds none of the successor's files.
        """
        folder = self.folder(import_id) / f"attempt-{uuid.uuid4().hex[:8]}"
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
