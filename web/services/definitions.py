"""Propose, create, change, export and drop datasets that are defined in the database. For admins."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.datasets.dataset import Dataset
from pipeline.datasets.definition import definition_from_json
from pipeline.datasets.definition_files import Files, dataset_from, definition_of, render
from pipeline.errors import Conflict, Crashed, InvalidRequest, NotFound, RejectedFile
from pipeline.sandbox import process
from pipeline.warehouse.definition_changes import DefinitionChanges, Dropped, ImportsAtWork, OtherVersion, require_name
from pipeline.warehouse.definitions import StoredDefinition
from web.app_context import app_context
from web.http import audit_log
from web.http.auth import key_in_use
from web.http.problems import Problem
from web.services import key_scope
from web.services.previews import preview_slot
from web.services.trial_audits import what_it_means

if TYPE_CHECKING:
    from pipeline.sandbox.propose.propose_dataset import Proposed

FILE_BYTES_MAX = 512 << 20
"""The largest file that a dataset is proposed for here."""

MEMORY_BYTES, DUCKDB_BYTES = 2 << 30, 768 << 20
SECONDS = 120.0
WRITTEN_BYTES = 8 << 30


def changes() -> DefinitionChanges:
    """Return what changes the datasets of this deployment."""
    return DefinitionChanges(app_context().engine, app_context().datasets)


def propose(
    source: Path, name: str, filename: str, given: dict[str, Any] | None = None, without: Sequence[str] = ()
) -> dict[str, Any]:
    """Return a proposal (web/models/definitions.py) for a file, or with ``given``, a definition, what that would refuse in it.

    ``source`` lies in a folder of its own, in which the sandbox writes. ``without``: columns of the file that are left out.
    Raises Problem.
    """
    found = _proposed(source, name, filename, given, without)
    taken = changes().check_free(found.name) if not found.problem else ""
    said = asdict(found)
    files = {"suite": said.pop("suite"), "table": said.pop("table")}
    return {**said, "files": files, "exists": bool(taken), "problem": found.problem or taken}


def _proposed(source: Path, name: str, filename: str, given: dict[str, Any] | None, without: Sequence[str]) -> Proposed:
    from pipeline.read import Limits  # DuckDB, which the web app has no other use for
    from pipeline.sandbox.propose.propose_dataset import propose as look

    limits = Limits(file_bytes=8 * FILE_BYTES_MAX, cells=10_000_000)
    try:
        with preview_slot():
            return process.run(
                look,
                *(source, name, filename, given, limits, DUCKDB_BYTES, tuple(without)),
                app_context().datasets.root(),
                memory_bytes=MEMORY_BYTES,
                seconds=SECONDS,
                file_bytes=WRITTEN_BYTES,
                server=process.PREVIEW,
            )
    except RejectedFile as error:
        raise Problem("unreadable_file", f"{error} {error.hint}".strip(), line=error.line) from error
    except InvalidRequest as error:
        raise Problem("invalid_parameter", str(error)) from error
    except Crashed as error:
        raise Problem(
            "unreadable_file",
            "Looking at all of this file takes too much time or memory. Send a part of it, or write the two files by hand.",
        ) from error


def given_files(
    name: str | None, definition: dict[str, Any] | None, files: Files | None, before: Dataset | None
) -> tuple[str, Files]:
    """Return the name and the two files of a definition that was sent in either form. Raises Problem.

    ``before``: the dataset that it changes.
    """
    try:
        if definition is not None:
            made = definition_from_json(definition)
            return made.name, render(made, before)
        assert files is not None, "the model has one of them"
        named = name or str(json.loads(files.suite).get("name", ""))
        dataset = dataset_from(named, files)
        return named, Files(_indented(files.suite), dataset.table_sql)
    except (InvalidRequest, ValueError, AttributeError, RecursionError) as error:
        raise Problem("invalid_parameter", str(error)) from error


def _indented(suite: str) -> str:
    """Return a suite as it is exported."""
    return json.dumps(json.loads(suite), indent=2, ensure_ascii=False) + "\n"


def create(name: str, files: Files) -> dict[str, Any]:
    """Create a dataset; return its definition as the API shows it. Raises Problem."""
    with _problems():
        changes().create(name, files, by=key_in_use().id, also=audit_log.entry("dataset", name, what="created"))
        key_scope.look_again()
    return shown(name)


def shown(name: str, version: int | None = None) -> dict[str, Any]:
    """Return a definition as the API shows it, of files too. Raises UnknownDataset, or Problem without that version."""
    dataset = key_scope.dataset(name)
    stored = app_context().definitions.of(name) if dataset.definition_version is not None else []
    if version is not None and version not in [one.version for one in stored]:
        raise Problem("not_found", f"The definition of {name} has no version {version}.")
    one = next((one for one in stored if version in (None, one.version)), None)
    files = Files(one.suite, one.table_sql) if one else _of_checkout(dataset)
    meant = dataset_from(name, files) if one else dataset
    return {
        "name": name,
        "version": one.version if one else None,
        "in_files": one is None,
        "title": meant.title,
        "created_by": one.created_by if one else "",
        "created_at": _time(one),
        "definition": definition_of(meant).to_json(),
        "files": files._asdict(),
        "versions": [{"version": v.version, "created_by": v.created_by, "created_at": _time(v)} for v in stored],
    }


def _of_checkout(dataset: Dataset) -> Files:
    suite = dataset.root / "expectations" / f"{dataset.name}.json"
    return Files(suite.read_text(encoding="utf-8"), dataset.table_sql)


def _time(one: StoredDefinition | None) -> str | None:
    return one.created_at.isoformat().replace("+00:00", "Z") if one and one.created_at else None


def current(name: str) -> Dataset:
    """Return a dataset that can be changed here. Raises UnknownDataset, or Problem for one that files define."""
    dataset = key_scope.dataset(name)
    if dataset.definition_version is None:
        raise Problem("cannot_change", f"The dataset {name} is defined by files, expectations/{name}.json; change it there.")
    return dataset


def change(name: str, files: Files, version: int, *, dry_run: bool) -> dict[str, Any]:
    """Change a definition, or with ``dry_run`` say what that means for the table and the loaded records. Raises Problem."""
    also = audit_log.entry("dataset", name, what="definition changed")
    with _problems():
        done = changes().change(name, files, version=version, by=key_in_use().id, dry_run=dry_run, also=also)
        loaded = what_it_means(dataset_from(name, files), key_scope.dataset(name)) if dry_run and done.changes else None
        definition = definition_of(dataset_from(name, files)).to_json()
    key_scope.look_again()
    told = {"version": done.version, "changed": bool(done.changes) and not dry_run, "changes": list(done.changes)}
    return {**told, "dry_run": dry_run, "loaded": loaded, "definition": definition, "files": files._asdict()}


def drop(name: str, confirm: str) -> dict[str, Any]:
    """Drop a dataset, with a dump of it in the bucket. Raises Problem."""
    current(name)
    try:
        require_name(name, confirm)
    except InvalidRequest as error:
        raise Problem("not_confirmed", str(error)) from error
    with _problems():
        dropped: Dropped = changes().drop(
            name, app_context().store, by=key_in_use().id, also=audit_log.entry("dataset", name, what="dropped")
        )
    key_scope.look_again()
    kept = app_context().settings.keep_dropped
    until = (datetime.now(UTC) + kept).isoformat(timespec="seconds").replace("+00:00", "Z") if kept is not None else None
    return {"name": name, "records": dropped.records, "dump": dropped.prefix, "kept_until": until}


@contextmanager
def _problems() -> Iterator[None]:
    """Raise the problems of definitions in place of their errors."""
    try:
        yield
    except OtherVersion as error:
        raise Problem("other_version", str(error), version=error.version) from error
    except ImportsAtWork as error:
        raise Problem("imports_at_work", str(error)) from error
    except InvalidRequest as error:
        raise Problem("invalid_parameter", str(error)) from error
    except NotFound as error:
        raise Problem("unknown_dataset", str(error)) from error
    except Conflict as error:
        code = "dataset_exists" if "Choose another name" in str(error) or "defined by files" in str(error) else "cannot_change"
        raise Problem(code, str(error)) from error


@contextmanager
def scratch_file(chunks: Iterator[bytes]) -> Iterator[Path]:
    """Write the body of a request to a file in a folder of its own, which is removed at the end."""
    with tempfile.TemporaryDirectory(prefix="bulkhead-propose-") as folder:
        source = Path(folder) / "source"
        with source.open("wb") as file:
            file.writelines(chunks)
        if not source.stat().st_size:
            raise Problem("empty_file")
        yield source
