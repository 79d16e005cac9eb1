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
from pipeline.datasets.dataset import Dataset, load_dataset
from pipeline.errors import FileReplaced, RejectedFile, UnknownDataset
from pipeline.ledger.ledger import Ledger
from pipeline.ledger.models import ImportRecord
from pipeline.orchestration.heartbeat_and_failures import beat
from pipeline.settings import Settings


class ImportFiles:
    """The files of imports on one worker. Nothing in a scratch folder outlives the attempt that made it."""

    def __init__(self, settings: Settings, store: Store, ledger: Ledger) -> None:
        self._settings = settings
        self._store = store
        self._ledger = ledger

    def dataset(self, ref: ImportRef) -> Dataset:
        """Return the dataset of an import. Raises RejectedFile: a file may be put under any name into the bucket."""
        try:
            return load_dataset(ref.dataset, self._settings.datasets_root)
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
            stored = self._store.get_file(ref.key, to, etag=ref.etag, beat=beat)
        except FileReplaced as error:
            raise FileReplaced(str(error), code="file_replaced", hint=hint) from error
        except NotThere as error:
            raise FileReplaced("The file was removed before it could be read.", code="file_removed") from error
        if ref.promoted and stored.sha256 != self._ledger.imports.known(ref.import_id).sha256:
            raise FileReplaced("The file has changed since the dry run validated it.", code="file_replaced", hint=hint)
        self._ledger.imports.update(ref.import_id, sha256=stored.sha256, size_bytes=stored.size_bytes)
        return self._ledger.imports.known(ref.import_id)

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
