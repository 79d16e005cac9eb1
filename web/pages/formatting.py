"""Format values for the pages: numbers, times, states, options and settings."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from flask import Flask

from pipeline.contracts.options import OnError, Options, ReadOptions
from pipeline.contracts.states import State
from pipeline.display import (
    counted,
    dialect_text,
    duration_text,
    masked,
    percent_text,
    place_of,
    place_of_record,
    record_name,
    size_text,
    state_sentence,
    visible,
)
from pipeline.ledger.models import ImportRecord, Move
from pipeline.option_texts import delimiter_text, option_text
from web.http.responses import as_text, json_bytes
from web.services.pace import load_begun

CELL_CHARACTERS_MAX = 2048

CHILDREN_COUNTED = 1000
"""Children are counted up to this number: counting more would take longer and help little."""

PHASES = (
    ("Upload", (State.AWAITING_UPLOAD,)),
    ("Queue", (State.QUEUED,)),
    ("Validation", (State.VALIDATING,)),
    ("Batches", (State.PREPARING,)),
    ("Load", (State.LOADING, State.PAUSED)),
    ("Done", (State.SUCCEEDED, State.PARTIALLY_SUCCEEDED)),
)
"""The phases of an import, each with the states that belong to it."""

_KNOWN = (*PHASES[:2], ("Known content", (State.VALIDATING,)))
"""The phases of a duplicate, which is recognised before the file is read."""

_ONLY_A_COUNT = re.compile("[0-9,]+ errors?")

_MOOD = {
    State.SUCCEEDED: "good",
    State.PARTIALLY_SUCCEEDED: "mixed",
    State.REJECTED: "bad",
    State.FAILED: "bad",
    State.CANCELED: "idle",
    State.EXPIRED: "idle",
    State.DUPLICATE: "good",
    State.VALIDATED: "good",
    State.PAUSED: "idle",
}


def install(app: Flask) -> None:
    """Register the filters of the templates."""
    app.jinja_env.filters.update(
        number=number,
        size=size_text,
        moment=moment,
        words=words,
        mood=mood,
        cell=cell,
        cut=cut,
        pretty=pretty,
        children=children,
        duration=duration,
        problems=problems,
        path=path,
        dialect=dialect_text,
        target=masked,
        counted=counted,
        place=place_of,
        place_of_record=place_of_record,
        record=record_name,
        percent=percent_text,
    )
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True


def number(value: int) -> str:
    """Return 12345 as ``12,345``."""
    return f"{value:,}"


def moment(value: datetime | None) -> str:
    """Return a point in time, in UTC."""
    return f"{value.astimezone(UTC):%-d %b %Y, %H:%M:%S} UTC" if value else "–"


def duration(one: ImportRecord) -> str:
    """Return how long an import took from its first step to its last, or has taken so far."""
    if one.started_at is None:
        return "–"
    return duration_text(((one.finished_at or datetime.now(UTC)) - one.started_at).total_seconds())


def problems(one: ImportRecord) -> int:
    """Return how many errors an import has: those that validation found, and the records that the warehouse refused."""
    return one.findings_errors + max(one.failed - one.quarantined, 0)


def load_rate(one: ImportRecord, moves: Sequence[Move]) -> float | None:
    """Return records per second since the load began; None if that is not known."""
    begun, done = load_begun(moves), one.processed - one.quarantined
    if one.state is not State.LOADING or begun is None or done <= 0:
        return None
    return done / max((datetime.now(UTC) - begun).total_seconds(), 0.1)


def words(name: str) -> str:
    """Return ``circular_reference`` as ``Circular reference``, ``missing_id`` as ``Missing ID``."""
    return re.sub(r"\bid\b", "ID", str(name).replace("_", " ").capitalize())


def mood(state: str) -> str:
    """Return the CSS class for the colour of the state of an import or an audit."""
    return _MOOD.get(State(state), "busy") if state in list(State) else "busy"


def cell(value: Any) -> str:
    """Return a value for a table: shortened to CELL_CHARACTERS_MAX, invisible characters escaped."""
    return cut(value, CELL_CHARACTERS_MAX)


def cut(value: Any, characters: int) -> str:
    """Return at most the first ``characters`` of a value, with invisible and direction-changing characters escaped."""
    text = "" if value is None else as_text(value)
    return visible(text[:characters], keep="\n\t") + ("…" if len(text) > characters else "")


def pretty(value: Any) -> str:
    """Return a value as text; an object or a list is indented over several lines."""
    if not isinstance(value, dict | list) or not value:
        return as_text(value)
    return json_bytes(value, indented=True).decode()


def children(count: int) -> str:
    """Return the number of children as text; they are counted up to CHILDREN_COUNTED only."""
    if count > CHILDREN_COUNTED:
        return f"over {number(CHILDREN_COUNTED)} children"
    return counted(count, "child", "children") if count else "no children"


def path(ids: list[str]) -> str:
    """Return the path of a cycle, closed: ``a → b → a``."""
    closed = ids if len(ids) > 1 and ids[0] == ids[-1] else [*ids, *ids[:1]]
    return " → ".join(closed)


def asked(options: Options) -> str:
    """Return the options of an upload as text; empty if it has none."""
    told = ["dry run"] if options.dry_run else []
    if options.on_error is not None:
        told.append(
            {OnError.REJECT: "reject a file with errors", OnError.QUARANTINE: "quarantine rows with errors"}[options.on_error]
        )
    if options.max_errors is not None:
        told.append(f"at most {counted(options.max_errors, 'record')} with errors")
    if options.max_error_ratio is not None:
        told.append(f"at most {options.max_error_ratio * 100:.4g}% of records with errors")
    if options.force:
        told.append("import again even if already imported")
    told += _reading_text(options)
    if options.notify:
        told.append(f"also notify {', '.join(map(masked, options.notify))}")
    told += [f"column {name} as {column}" if column else f"skip column {name}" for name, column in options.mapping.items()]
    return ", ".join(told)


_READING_TEXTS = {
    "quote": "quote {}",
    "encoding": "encoding {}",
    "header_row": "header in row {}",
    "sheet": "sheet {}",
    "records_at": "records at {}",
    "merged": "merged cells: {}",
    "repeated_columns": "repeated columns: {}",
    "no_parent_values": "no parent: {}",
    "parent_by": "parents given by {}",
    "shape": "shape {}",
    "clean": "clean {}",
}


def _reading_text(options: ReadOptions) -> list[str]:
    """Return how the upload says its file is read, without the mapping of columns."""
    asked = options.reading_json()
    told = [f"delimiter: {delimiter_text(options.delimiter)}"] if options.delimiter else []
    return told + [text.format(visible(option_text(asked[name]))) for name, text in _READING_TEXTS.items() if name in asked]


def phases(one: ImportRecord, reached: set[str], moves: Sequence[Move] = ()) -> list[dict[str, str]]:
    """Return the phases of an import, each with the status ``done``, ``now``, ``stopped`` or ``ahead``.

    ``reached``: every state that the import has been in. ``took``: how long a phase lasted that has ended.
    """
    shown = []
    spent = _spent(moves)
    been = reached if one.state.is_final else {one.state}  # a promoted or restarted import repeats its phases
    at = max((i for i, (_, states) in enumerate(PHASES) if been.intersection(states)), default=0)
    whole = one.state in (State.SUCCEEDED, State.PARTIALLY_SUCCEEDED, State.DUPLICATE)
    for i, (name, states) in enumerate(PHASES if one.state is not State.DUPLICATE else _KNOWN):
        if i < at or whole:
            status = "done"
        elif i == at:
            status = "now" if not one.state.is_final else "done" if one.state is State.VALIDATED else "stopped"
        else:
            status = "ahead"
        seconds = sum(spent.get(state, 0) for state in states) if status in ("done", "stopped") else 0
        shown.append({"name": name, "status": status, "took": duration_text(seconds) if seconds >= 0.05 else ""})
    return shown


def _spent(moves: Sequence[Move]) -> dict[str, float]:
    """Return the seconds spent in each state that has ended, summed over all times the import was in it."""
    spent: dict[str, float] = {}
    for move, after in pairwise(moves):
        spent[move.to_state] = spent.get(move.to_state, 0) + (after.at - move.at).total_seconds()
    return spent


def verdict(one: ImportRecord) -> str:
    """Return what became of the file, in one sentence."""
    return state_sentence(
        one.state,
        one.counts,
        errors=one.findings_errors,
        queue_position=one.queue_position or 0,
        is_promotable=one.preview is not None,
    )


def reason(one: ImportRecord) -> str:
    """Return the reason in the ledger, if it says more than the verdict."""
    if one.state is State.REJECTED:
        return "" if _ONLY_A_COUNT.fullmatch(one.reason) else one.reason
    return one.reason if one.state in (State.FAILED, State.CANCELED, State.EXPIRED, State.DUPLICATE) else ""
