"""Remove folders that killed workers left in a worker's scratch space. Other workers remove theirs."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path

from pipeline import expired_files
from pipeline.contracts.object_keys import is_import_id
from pipeline.ledger.imports import Imports

GONE = ".gone"
"""The ending of the name of a folder that is being removed."""

PAGE = 1_000
"""How many folders cost one query."""


class ExpiredFolders:
    """The scratch space of one worker, with a folder for each import. With ``dry_run`` folders are only counted.

    ``trying`` makes a block whose errors are reported and do not stop the rest.
    """

    def __init__(
        self, scratch: Path, imports: Imports, *, dry_run: bool, trying: Callable[[str], AbstractContextManager[None]]
    ) -> None:
        self._scratch = scratch
        self._imports = imports
        self._dry_run = dry_run
        self._trying = trying
        self._count = 0

    def remove(self, unused_since: datetime | None) -> int:
        """Remove the folders of imports that have ended; return how many they are.

        Those of imports that the ledger does not know go, too, if they have not changed since then; None keeps them.
        """
        self._count = 0
        names = sorted(path.name for path in self._scratch.iterdir()) if self._scratch.is_dir() else []
        for name in names:
            if name.endswith(GONE) and not self._dry_run:
                with self._trying(f"folder {name}"):
                    remove_tree(self._scratch / name)
        for at in range(0, len(names), PAGE):
            self._remove_page([name for name in names[at : at + PAGE] if is_import_id(name)], unused_since)
        return self._count

    def _remove_page(self, ids: list[str], unused_since: datetime | None) -> None:
        traces = self._imports.traces(ids)
        for trace in traces.values():
            if trace.state.is_final:
                with self._trying(f"folder {trace.id}"):
                    self._remove_of_import(self._scratch / trace.id)
        for id_ in (one for one in ids if one not in traces):
            with self._trying(f"folder {id_}"):
                self._remove_unknown(self._scratch / id_, unused_since)

    def _remove_unknown(self, folder: Path, unused_since: datetime | None) -> None:
        if unused_since is None or expired_files.last_change(folder) > unused_since.timestamp():
            return
        if not self._dry_run:
            remove_tree(folder)
        self._count += 1

    def _remove_of_import(self, folder: Path) -> None:
        """Remove a folder. It is renamed first, with the import's row locked: a promoted dry run uses its folder again."""
        if not self._dry_run:
            gone = folder.with_name(f"{folder.name}-{uuid.uuid4().hex[:8]}{GONE}")
            with self._imports.locked(folder.name) as state:
                if not state.is_final or not folder.is_dir():
                    return
                folder.rename(gone)
            remove_tree(gone)
        self._count += 1


def remove_tree(folder: Path) -> None:
    """Remove a folder that another process may be removing at the same time, as the step that ends an import does."""

    def unless_gone(_: object, __: str, why: tuple[type[BaseException], BaseException, object]) -> None:
        if not isinstance(why[1], FileNotFoundError):
            raise why[1]

    shutil.rmtree(folder, onerror=unless_gone)
