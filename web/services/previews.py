"""Preview a file that a request brings: read it in the sandbox, and add what is remembered of files like it.

Nothing of it is kept.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask import request

from pipeline import option_texts
from pipeline.contracts.masking import masked_text
from pipeline.contracts.options import DETECTED, OnError, ReadOptions
from pipeline.datasets.dataset import Dataset
from pipeline.datasets.upload_rules import is_id_or_name, parent_by_of
from pipeline.display import counted, dialect_text
from pipeline.errors import Crashed, InvalidRequest, RejectedFile
from pipeline.ledger.mappings import Remembered
from pipeline.option_texts import option_text
from pipeline.receive.upload import clean_name
from pipeline.sandbox import process
from pipeline.sandbox.preview_model import Refusal
from pipeline.warehouse.existing_edges import with_tables
from web.app_context import app_context
from web.http.problems import Problem
from web.models.previews import PreviewQuery
from web.services.masked_previews import masked_preview
from web.services.uploads import body_chunks, upload_slot

if TYPE_CHECKING:
    from pipeline.sandbox.preview_model import Preview

BYTES_MAX = 8 << 20
"""How much of a body is read: enough of a text or a compressed one; a workbook, a Parquet file and a ZIP are read whole."""

MEMORY_BYTES = 1 << 30
SECONDS = 20.0
WAIT_SECONDS = 5.0
WRITTEN_BYTES = 512 << 20


@dataclass(frozen=True)
class _Asked:
    """How to look at a file: as which dataset (None: the one that fits best), and what its columns are said to be.

    ``remembered``: the mapping of the last file like it, which is followed instead of suggestions.
    """

    options: ReadOptions
    dataset: str | None
    mapping: dict[str, str]
    remembered: Remembered | None = None

    @property
    def reading(self) -> ReadOptions:
        """Return the options with the mapping that is to be followed."""
        known = self.remembered.mapping if self.remembered else {}
        return replace(self.options, mapping={**known, **self.mapping})


class _Source:
    """A file of a request, on this machine's disk while it is looked at."""

    def __init__(self, path: Path, datasets: Sequence[Dataset], query: PreviewQuery) -> None:
        self.path, self.datasets, self.query = path, datasets, query
        self.label = clean_name(query.filename) if query.filename else ""

    @property
    def names(self) -> list[str]:
        """Return the names of the datasets."""
        return [one.name for one in self.datasets]

    def look(self, asked: _Asked) -> Preview:
        """Read the file in the sandbox. Raises Problem if it cannot be read, or takes too much time or memory."""
        from pipeline.sandbox.preview_file import preview_among  # DuckDB, which the web app has no other use for

        try:
            with preview_slot():
                return process.run(
                    preview_among,
                    *(self.path, tuple(self.datasets), asked.reading, self.query.whole, self.label),
                    *(asked.dataset, asked.remembered is None),
                    memory_bytes=MEMORY_BYTES,
                    seconds=SECONDS,
                    file_bytes=WRITTEN_BYTES,
                    server=process.PREVIEW,
                )
        except RejectedFile as error:
            is_masked = any(one.masked for one in self.datasets)
            said = masked_text(error.code) if is_masked else f"{error} {error.hint}".strip()
            raise Problem("unreadable_file", said, line=error.line) from error
        except InvalidRequest as error:  # a shape or a rule that means nothing
            raise Problem("invalid_parameter", str(error)) from error
        except Crashed as error:
            raise Problem(
                "unreadable_file", "A preview of this file takes too much time or memory. Upload it to see all its errors."
            ) from error


def answer(
    datasets: Sequence[Dataset], query: PreviewQuery, dataset: str | None, chunks: Iterator[bytes] | None = None
) -> dict[str, Any]:
    """Return the preview of the request's body among ``datasets``, as JSON. ``dataset``: the one that it is for.

    ``chunks``: the file or its beginning, if it is not the request's body. Raises Problem if the file cannot be read.
    """
    with upload_slot(app_context()), tempfile.TemporaryDirectory(prefix="bulkhead-preview-") as folder:
        path = Path(folder) / "source"
        with path.open("wb") as file:
            file.writelines(body_chunks(request, BYTES_MAX) if chunks is None else chunks)
        source = _Source(path, datasets, query)
        asked, seen = _first_look(source, dataset)
        known = app_context().ledger.mappings.latest(source.names, [column.name for column in seen.columns])
        best = dataset or next((one.dataset for one in known), seen.dataset)
        remembered = next((one for one in known if one.dataset == best), None)
        if remembered:
            options = asked.options if query.options != DETECTED else _options(remembered) or asked.options
            asked = replace(asked, dataset=best, options=options, remembered=remembered)
            seen = source.look(asked)
    shown = next((one for one in datasets if one.name == seen.dataset), None)
    if shown:
        seen = _with_lacking_parents(seen, shown, asked.options)
    masking = [shown] if shown else [one for one in datasets if one.masked]
    for one in masking:
        seen = masked_preview(seen, one, asked.reading)
    return _as_json(seen, asked, query, known)


def _with_lacking_parents(seen: Preview, dataset: Dataset, options: ReadOptions) -> Preview:
    """Return the preview with parents that neither the file nor the warehouse has among the reasons for a rejection.

    Only the misfits of the preview are looked up, and only if all of the file was read: the rest of it may have them.
    """
    misfits = [one for one in seen.tree.misfits if one.kind == "missing_parent"] if seen.tree and seen.is_whole else []
    context, asked = app_context(), replace(dataset, options=options)
    if not misfits or dataset.tolerance.on_error is OnError.QUARANTINE or (parent_by_of(asked) and not is_id_or_name(asked)):
        return seen
    if dataset.name not in with_tables(context.engine, [dataset.name]):
        return seen
    loaded = {value for value in {one.value for one in misfits} if context.records.one(dataset, value) is not None}
    parent = next(
        (one.name for one, match in zip(seen.columns, seen.matches, strict=True) if match.suggested == dataset.parent), None
    )
    lacking = [
        Refusal("missing_parent", _LACKS.format(one.value), _LACKS_HINT, one.row, parent, one.cell)
        for one in misfits
        if one.value not in loaded
    ]
    return replace(seen, would_reject=(*seen.would_reject, *lacking))


_LACKS = 'Neither the file nor the dataset has a record with the ID "{}", which is the parent here.'
_LACKS_HINT = (
    "Correct the parent, add the record to the file, or say how parents are given: by another column, or as no parent."
)


def _first_look(source: _Source, dataset: str | None) -> tuple[_Asked, Preview]:
    """Return the first preview: read as asked, or as the last file with such a name was. Raises Problem."""
    query = source.query
    asked = _Asked(query.options, dataset, query.given_mapping)
    if query.options == DETECTED:
        among = [dataset] if dataset else source.names
        for named in app_context().ledger.mappings.latest_of_file(among, source.label)[:1]:
            if options := _options(named):
                with suppress(Problem):
                    again = replace(asked, options=options)
                    return again, source.look(again)
    return asked, source.look(asked)


def _options(remembered: Remembered) -> ReadOptions | None:
    """Return the remembered options of reading, or None if there are none."""
    if not remembered.options:
        return None
    texts = {name: option_text(value) for name, value in remembered.options.items()}
    return ReadOptions(**option_texts.parsed(texts))


@contextmanager
def preview_slot() -> Iterator[None]:
    """Wait for one of the places for previews. Raises Problem if none is free in time."""
    if not app_context().previews.acquire(timeout=WAIT_SECONDS):
        raise Problem("busy", "Too many previews at the same time. Try again in a few seconds.")
    try:
        yield
    finally:
        app_context().previews.release()


def _as_json(seen: Preview, asked: _Asked, query: PreviewQuery, known: Sequence[Remembered]) -> dict[str, Any]:
    """Return the preview as the API answers it."""
    shown = asdict(seen)
    matches, columns = shown.pop("matches"), shown.pop("columns")
    mapping = asked.remembered.mapping if asked.remembered else None
    if mapping is not None:
        mapping = {name: column for name, column in mapping.items() if name not in asked.mapping}
    used = {offer["option"]: offer["value"] for offer in shown["offers"] if offer["is_used"]}
    reading = replace(asked.options, mapping={}).reading_json()
    at = {one.dataset: one.at for one in known}
    return {
        **shown,
        "text": _text(seen),
        "new_dataset": seen.dataset is None,
        "datasets": [_fit(one, at) for one in shown["datasets"]],
        "options": {**used, **reading},
        "options_remembered": asked.options not in (query.options, DETECTED),
        "remembered": asked.remembered is not None,
        "columns": [_column(one, match, mapping) for one, match in zip(columns, matches, strict=True)],
    }


def _fit(fit: dict[str, Any], at: dict[str, Any]) -> dict[str, Any]:
    last = at.get(fit["dataset"])
    share = fit["matched"] / fit["required"] if fit["required"] else 1.0
    return {**fit, "fits": round(share, 3), "last_used": last.isoformat() if last else None}


def _text(seen: Preview) -> str:
    """Return how the file is read, for people: ``CSV, comma, UTF-8``."""
    first = f", the first of {counted(seen.members, 'file')}" if seen.members > 1 else ""
    return f"{dialect_text(vars(seen))}{first}"


def _column(column: dict[str, Any], match: dict[str, Any], remembered: dict[str, str] | None) -> dict[str, Any]:
    """Return a column with what it probably is, and why."""
    name, becomes = column["name"], column["becomes"]
    told = {"name": name, "becomes": becomes, "samples": match["samples"]}
    if remembered is not None and name in remembered:
        meant = remembered[name]
        reason = "It was left out of the last file with this header." if not meant else ""
        reason = reason or f"It was {meant} in the last file with this header."
        return {**told, "suggested": meant, "suggested_by": "remembered", "reason": reason, "why": "remembered"}
    suggested = becomes if match["suggested"] is None else match["suggested"]
    differs = remembered is None and suggested not in (None, becomes)
    why = "similar" if differs else ""
    return {**told, "suggested": suggested, "suggested_by": match["by"], "reason": match["reason"], "why": why}
