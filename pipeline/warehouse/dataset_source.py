"""Where the datasets of a deployment are defined: in files of BULKHEAD_DATASETS_ROOT, and in the database, by version.

Everything reads datasets from a folder, also the children in the sandbox, which have no access to the database. So a process
writes the definitions in the database to a folder beside links to the files, one folder for each state of both; which state is
in use is one small query. Files win: a name that has files in the checkout is defined by them (docs/decisions/0047).
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import threading
import time
import uuid
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from sqlalchemy import Engine

from pipeline.adapters.postgres import connect
from pipeline.adapters.postgres_access import to_database
from pipeline.adapters.postgres_errors import DATABASE_ERRORS, as_ours
from pipeline.datasets.dataset import VERSIONS, Dataset, dataset_names, load_dataset
from pipeline.errors import UnknownDataset
from pipeline.settings import Settings
from pipeline.sqlfiles import in_order
from pipeline.warehouse.definitions import Definitions, StoredDefinition

OWN_WORDS = "synonyms.toml"
"""The installation's own words for columns, which reading looks for beside its datasets."""

FRESH_SECONDS = 1.0
"""How long a process goes without asking the database, where it need not know the newest state."""

KEPT_SECONDS = 86_400.0
"""How long the folder of an earlier state is kept: a validation that began with it ends much earlier."""


class DatasetSource:
    """The datasets of one deployment, for one process. Safe to share between threads.

    ``engine``: of the process; None: each query has a connection of its own, which is closed at once.
    """

    def __init__(self, settings: Settings, engine: Engine | None = None) -> None:
        self._settings, self._engine = settings, engine
        self._files, self._lock = settings.datasets_root, threading.Lock()
        self._asked, self._root, self._versions = -FRESH_SECONDS, settings.datasets_root, dict[str, int]()

    @property
    def settings(self) -> Settings:
        """Return the settings of the deployment."""
        return self._settings

    @property
    def files(self) -> Path:
        """Return the folder of the files, BULKHEAD_DATASETS_ROOT."""
        return self._files

    def root(self, *, fresh: bool = True) -> Path:
        """Return the folder to read datasets from. ``fresh``: as of now, not as of a moment ago.

        Raises Unreachable if the database does not answer: a dataset in it must not pass for one that does not exist.
        """
        if not self._settings.database_url:
            return self._files
        with self._lock:
            if fresh or time.monotonic() - self._asked >= FRESH_SECONDS:
                asked = time.monotonic()
                self._root = self._current()
                self._asked = asked
            return self._root

    def names(self, *, fresh: bool = False) -> list[str]:
        """Return the names of all datasets, sorted."""
        return dataset_names(self.root(fresh=fresh))

    def load(self, name: str, among: Collection[str] | None = None, *, fresh: bool = True) -> Dataset:
        """Return a dataset, as load_dataset does. One that is not known as of a moment ago is looked for once more."""
        try:
            return load_dataset(name, self.root(fresh=fresh), among)
        except UnknownDataset:
            if fresh or (among is not None and name not in among):
                raise
        return load_dataset(name, self.root(), among)

    def versions(self) -> dict[str, int]:
        """Return the version of each definition that is in use from the database."""
        self.root()
        return self._versions

    def _current(self) -> Path:
        engine = self._engine or connect(to_database(self._settings), pool_size=1, name="bulkhead datasets")
        try:
            definitions = Definitions(engine)
            files = dataset_names(self._files)
            versions = {name: version for name, version in (definitions.versions() or {}).items() if name not in files}
            if not versions:
                self._versions = versions
                return self._files
            folder = self._folder(versions, files)
            if not folder.is_dir() or versions != self._versions:
                if not (folder / VERSIONS).is_file():
                    texts = [one for one in definitions.texts() if versions.get(one.name) == one.version]
                    if len(texts) < len(versions):  # changed between the two queries
                        return self._current()
                    _write(folder, self._files, texts)
                self._versions = versions
                _remove_old(folder, self._root)
            return folder
        except DATABASE_ERRORS as error:
            raise as_ours(error) from error
        finally:
            if self._engine is None:
                engine.dispose()

    def _folder(self, versions: dict[str, int], files: list[str]) -> Path:
        """Return the folder of a state: the database, its definitions, and the names of the files beside them."""
        beside = [path.name for path in in_order(self._files / "sql" / "marts")]
        beside += [OWN_WORDS] if (self._files / OWN_WORDS).is_file() else []
        said = [self._settings.database_url, str(self._files.absolute()), versions, files, beside]
        digest = hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:24]
        return _home(self._settings.home) / digest


def _home(home: Path) -> Path:
    """Return the folder for all states: under BULKHEAD_HOME, or where that cannot be written, one of this user's alone."""
    folder = home.absolute() / "definitions"
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return folder
    return _own_scratch()


_scratch: Path | None = None


def _own_scratch() -> Path:
    global _scratch
    if _scratch is None or not _scratch.is_dir():
        _scratch = Path(tempfile.mkdtemp(prefix="bulkhead-definitions-"))
    return _scratch


def _write(folder: Path, files: Path, texts: list[StoredDefinition]) -> None:
    """Make the folder of a state. Another process may do so at the same time: what it has made is the same."""
    part = folder.with_name(f"{folder.name}-{uuid.uuid4().hex[:8]}.part")
    try:
        for name, ending in (("expectations", "json"), ("sql/tables", "sql")):
            (part / name).mkdir(parents=True)
            for path in (files / name).glob(f"*.{ending}"):
                (part / name / path.name).symlink_to(path.absolute())
        for name in ("checks", "staging", "marts"):
            if (files / "sql" / name).is_dir():
                (part / "sql" / name).symlink_to((files / "sql" / name).absolute())
        if (files / OWN_WORDS).is_file():
            (part / OWN_WORDS).symlink_to((files / OWN_WORDS).absolute())
        for one in texts:
            (part / "expectations" / f"{one.name}.json").write_text(one.suite, encoding="utf-8")
            table = part / "sql" / "tables" / f"{one.name}.sql"
            table.unlink(missing_ok=True)  # a table file without a suite defines nothing
            table.write_text(one.table_sql, encoding="utf-8")
        (part / VERSIONS).write_text(json.dumps({one.name: one.version for one in texts}), encoding="utf-8")
        with suppress(OSError):  # it is there
            part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _remove_old(folder: Path, before_it: Path) -> None:
    """Remove folders of states that nothing uses any more; the one that was used until now is kept for a day."""
    os.utime(folder)
    if before_it.parent == folder.parent:
        with suppress(OSError):
            os.utime(before_it)
    before = time.time() - KEPT_SECONDS
    for other in folder.parent.iterdir():
        with suppress(OSError):
            if other != folder and other.stat().st_mtime < before:
                shutil.rmtree(other, ignore_errors=True)


_sources: dict[tuple[str, Path, Path], DatasetSource] = {}
_sources_lock = threading.Lock()


def source_of(settings: Settings) -> DatasetSource:
    """Return this process's source for the settings."""
    key = (settings.database_url, settings.datasets_root, settings.home)
    with _sources_lock:
        return _sources.setdefault(key, DatasetSource(settings))
