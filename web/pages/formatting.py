"""How values look on the pages: numbers, sizes, times and states for people to read."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from flask import Flask

from pipeline.contracts.options import DELIMITER_NAMES, OnError, Options
from pipeline.contracts.states import State
from pipeline.display import counted, masked, place_of, place_of_record, record_name, visible
from pipeline.ledger.models import ImportRecord, Move
from web.http.responses import as_text, json_bytes
from web.services.pace import load_begun

CELL_CHARACTERS_MAX = 2048

CHILDREN_COUNTED = 1000
"""A count costs as much as it comes to, and of more than this nobody needs to know how many."""

PHASES = (
    ("Upload", (State.AWAITING_UPLOAD,)),
    ("Queue", (State.QUEUED,)),
    ("Validation", (State.VALIDATING,)),
    ("Batches", (State.PREPARING,)),
    ("Load", (State.LOADING, State.PAUSED)),
    ("Done", (State.SUCCEEDED, State.PARTIALLY_SUCCEEDED)),
)
"""The compartments a file passes, each with the states in which it is there."""

_KNOWN = (*PHASES[:2], ("Known content", (State.VALIDATING,)))
"""Those of a duplicate, which is recognised before anything of it is looked at."""

_SECRET = ("key", "secret", "token", "password")

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
    """Make these known to the templates."""
    app.jinja_env.filters.update(
        number=number,
        size=size,
        moment=moment,
        words=words,
        mood=mood,
        cell=cell,
        cut=cut,
        pretty=pretty,
        children=children,
        duration=duration,
        path=path,
        dialect=dialect,
        target=masked,
        counted=counted,
        place=place_of,
        place_of_record=place_of_record,
        record=record_name,
    )
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True


def number(value: int) -> str:
    """12345 as 12,345."""
    return f"{value:,}"


def size(size_bytes: int) -> str:
    """Bytes in the largest unit that leaves a number above one."""
    value = float(size_bytes)
    if size_bytes == 1:
        return "1 byte"
    for unit in ("bytes", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "bytes" or value >= 100 else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:,.1f} TB"


def moment(value: datetime | None) -> str:
    """A point in time, in UTC."""
    return f"{value.astimezone(UTC):%-d %b %Y, %H:%M:%S} UTC" if value else "–"


def duration(one: ImportRecord) -> str:
    """How long an import took from the first step to the last, or has taken so far."""
    if one.started_at is None:
        return "–"
    return lasted(((one.finished_at or datetime.now(UTC)) - one.started_at).total_seconds())


def lasted(seconds: float) -> str:
    """A time that has passed."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def pace(one: ImportRecord, moves: Sequence[Move]) -> str:
    """How fast a load has been since it began, and how long it will take if it goes on so; nothing if that is not known."""
    begun = load_begun(moves)
    done = one.processed - one.quarantined
    if one.state is not State.LOADING or begun is None or done <= 0:
        return ""
    rate = done / max((datetime.now(UTC) - begun).total_seconds(), 0.1)
    left = max(one.records_total - one.processed, 0) / rate
    return f"{counted(max(round(rate), 1), 'record')} a second, about {span(left)} left"


def span(seconds: float) -> str:
    """A time to come, as roughly as it is known; import.js says it in the same words."""
    if seconds < 60:
        return f"{max(math.ceil(seconds), 1)} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def words(name: str) -> str:
    """``circular_reference`` as "Circular reference"."""
    return str(name).replace("_", " ").capitalize()


def mood(state: State) -> str:
    """Which colour a state has."""
    return _MOOD.get(State(state), "busy")


def cell(value: Any) -> str:
    """A value in a table: never longer than anybody reads, and nothing in it unseen."""
    return cut(value, CELL_CHARACTERS_MAX)


def cut(value: Any, characters: int) -> str:
    """The beginning of a value, where it is longer; what cannot be seen, or turns the direction of text, is spelled out."""
    text = "" if value is None else as_text(value)
    return visible(text[:characters], keep="\n\t") + ("…" if len(text) > characters else "")


def pretty(value: Any) -> str:
    """A value for a page of its own: an object or a list over several lines."""
    if not isinstance(value, dict | list) or not value:
        return as_text(value)
    return json_bytes(value, indented=True).decode()


def children(count: int) -> str:
    """How many children a record has, where nobody counted further than CHILDREN_COUNTED."""
    if count > CHILDREN_COUNTED:
        return f"over {number(CHILDREN_COUNTED)} children"
    return counted(count, "child", "children") if count else "no children"


def path(ids: list[str]) -> str:
    """The path of a cycle, closed: a → b → a."""
    closed = ids if len(ids) > 1 and ids[0] == ids[-1] else [*ids, *ids[:1]]
    return " → ".join(closed)


_FORMATS = {"csv": "CSV", "tsv": "TSV", "json": "JSON", "ndjson": "NDJSON", "parquet": "Parquet", "xlsx": "Excel"}
_DELIMITERS = {character: name for name, character in DELIMITER_NAMES.items()}


def dialect(source: dict[str, Any]) -> str:
    """How the file was read: "CSV, semicolon, UTF-8, gzip"; nothing before it was."""
    form = source.get("format")
    if not form:
        return ""
    told = [_FORMATS.get(form, form), _DELIMITERS.get(source.get("delimiter") or "", "")]
    told += [(source.get("encoding") or "").upper(), source.get("compression") or ""]
    return ", ".join(word for word in told if word not in ("", "none"))


def setting(name: str, value: Any) -> str:
    """A setting's value for people to read; of a secret only whether it is set."""
    if value is None:
        return "for ever" if name.startswith("keep_") else "not set"
    if value in ("", ()):
        return "not set"
    if any(word in name for word in _SECRET):
        return "set, not shown"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, timedelta):
        return _lasting(value)
    if isinstance(value, tuple):
        return ", ".join(masked(str(one)) for one in value)
    text = str(value)
    is_bare = name.endswith("_url") and "://" not in text  # a connection in another form than a URL's
    return "set, not shown" if is_bare else masked(text)


def _lasting(time: timedelta) -> str:
    """A length of time as it is written in the environment, in the largest unit that it is a whole number of."""
    seconds = int(time.total_seconds())
    unit, letter = next(
        (unit, letter) for unit, letter in ((86400, "d"), (3600, "h"), (60, "m"), (1, "s")) if seconds % unit == 0
    )
    return f"{seconds // unit}{letter}" if seconds else "0"


def asked(options: Options) -> str:
    """What the upload asked for, in words; nothing if it left all to the dataset."""
    told = ["a dry run"] if options.dry_run else []
    if options.on_error is not None:
        told.append(
            {OnError.REJECT: "reject a file with errors", OnError.QUARANTINE: "a quarantine for bad records"}[options.on_error]
        )
    if options.max_errors is not None:
        told.append(f"at most {counted(options.max_errors, 'record')} with errors")
    if options.max_error_ratio is not None:
        told.append(f"at most {options.max_error_ratio:.4g} of the records with errors")
    if options.force:
        told.append("to be loaded even if it was before")
    if options.delimiter is not None:
        told.append(f"values separated by {_DELIMITERS[options.delimiter]}")
    if options.notify:
        told.append(f"to tell {', '.join(map(masked, options.notify))}")
    told += [f"{name} as {column}" if column else f"without {name}" for name, column in options.mapping.items()]
    return ", ".join(told)


def phases(one: ImportRecord, reached: set[str], moves: Sequence[Move] = ()) -> list[dict[str, str]]:
    """Where the import stands, as a list of phases that are ``done``, ``now``, ``stopped`` or ``ahead``.

    ``reached``: every state that the import has been in. What was left says how long it ``took``.
    """
    shown = []
    spent = _spent(moves)
    been = reached if one.state.is_final else {one.state}  # a promoted or restarted import goes the way again
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
        shown.append({"name": name, "status": status, "took": lasted(seconds) if seconds >= 0.05 else ""})
    return shown


def _spent(moves: Sequence[Move]) -> dict[str, float]:
    """Seconds in each state that was left, over all times that the import was in it."""
    spent: dict[str, float] = {}
    for move, after in pairwise(moves):
        spent[move.to_state] = spent.get(move.to_state, 0) + (after.at - move.at).total_seconds()
    return spent


def verdict(one: ImportRecord) -> str:
    """What became of the file, in one sentence."""
    counts = {name: number(value) for name, value in one.counts.items()}
    total = counted(one.records_total, "record")
    match one.state:
        case State.AWAITING_UPLOAD:
            return "The file is on its way."
        case State.QUEUED:
            ahead = one.queue_position or 0
            return "It is next in line." if not ahead else f"It waits its turn: {number(ahead)} ahead of it."
        case State.VALIDATING:
            return "Every row is being checked."
        case State.PREPARING:
            return "Parents first, the records are being cut into batches."
        case State.LOADING:
            return "The records are on their way into the warehouse."
        case State.PAUSED:
            return "It is paused: what was under way is loaded, nothing further is begun. The dataset's queue waits for it."
        case State.SUCCEEDED:
            return (
                "The one record is in the warehouse."
                if one.records_total == 1
                else f"All {counts['total']} records are in the warehouse."
            )
        case State.PARTIALLY_SUCCEEDED:
            if not one.quarantined:
                return f"The warehouse refused {counts['failed']} of {total} for good; the others are in."
            refused = one.failed - one.quarantined
            also = f", {number(refused)} {'was' if refused == 1 else 'were'} refused by the warehouse" if refused else ""
            held = f"{counts['quarantined']} of {total} {'is' if one.quarantined == 1 else 'are'} in quarantine"
            return f"{held}{also}; the others are loaded."
        case State.REJECTED:
            return f"Nothing was written: {counted(one.findings_errors, 'finding is an error', 'findings are errors')}."
        case State.FAILED:
            return "The system gave up. What was loaded stays, and the counts say what."
        case State.CANCELED:
            return "It was canceled. The counts say what was loaded."
        case State.EXPIRED:
            return "The dry run was not promoted in time." if one.preview is not None else "The upload was never finished."
        case State.VALIDATED:
            if not one.quarantined:
                all_of = "The one record" if one.records_total == 1 else f"All {total}"
                return f"Nothing was written. {all_of} can be loaded."
            good = number(one.records_total - one.quarantined)
            return f"Nothing was written. {good} of {total} can be loaded; {counts['quarantined']} would go into quarantine."
        case State.DUPLICATE:
            return "Nothing was left to do: an earlier import loaded this very content."


def reason(one: ImportRecord) -> str:
    """What the ledger says of the end, where the verdict alone leaves it open."""
    if one.state is State.REJECTED:
        return "" if _ONLY_A_COUNT.fullmatch(one.reason) else one.reason
    return one.reason if one.state in (State.FAILED, State.CANCELED, State.EXPIRED, State.DUPLICATE) else ""
