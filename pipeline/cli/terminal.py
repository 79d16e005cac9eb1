"""How things look in a terminal: data on stdout, everything else on stderr, and no file can play tricks with either.

Values from files go through ``visible``, which leaves no control character standing, and are never read as markup.
Progress is drawn with bars where somebody watches, and written as plain lines where nobody does.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console, Group
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table
from rich.text import Text

from pipeline.display import counted, place_and_record, record_name, visible

UNBOUNDED_WIDTH = 1 << 20
"""Nobody folds a table that goes into a pipe."""

COLOURS = {
    "succeeded": "green",
    "validated": "green",
    "duplicate": "green",
    "partially_succeeded": "yellow",
    "rejected": "red",
    "failed": "red",
    "canceled": "yellow",
    "expired": "yellow",
}
COUNTS = ("total", "valid", "invalid", "inserted", "updated", "unchanged", "failed", "quarantined", "unprocessed")


# --- text ---


def cell(value: object, style: str = "") -> Text:
    """A value for a table: shown as it is, never read as markup."""
    return Text("" if value is None else visible(value), style=style, overflow="fold")


# --- where to ---


def out() -> Console:
    """Stdout, for data."""
    stream = sys.stdout
    width = None if stream.isatty() else UNBOUNDED_WIDTH
    return Console(file=stream, width=width, markup=False, highlight=False, emoji=False)


def err() -> Console:
    """Stderr, for everything else."""
    return Console(file=sys.stderr, markup=False, highlight=False, emoji=False, soft_wrap=not sys.stderr.isatty())


def say(text: str, style: str | None = None) -> None:
    """One line for whoever watches."""
    err().print(visible(text, keep="\n"), style=style, soft_wrap=True)


def print_line(text: str) -> None:
    """One line of data."""
    sys.stdout.write(visible(text) + "\n")


def as_json(value: object) -> str:
    """One JSON document for people to read; hidden characters are spelled as JSON spells them."""
    return visible(json.dumps(value, indent=2, ensure_ascii=False, default=str), keep="\n") + "\n"


def print_json(value: object) -> None:
    """One JSON document, and nothing else, on stdout."""
    sys.stdout.write(as_json(value))


def print_chunks(chunks: Iterable[bytes]) -> None:
    """A file on stdout: byte for byte into a pipe, made harmless on a terminal."""
    if not sys.stdout.isatty():
        for chunk in chunks:
            sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()
        return
    for line in _lines(chunks):
        sys.stdout.write(visible(line.decode("utf-8", "backslashreplace"), keep="\n\t") + "\n")


def _lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        yield from (line.removesuffix(b"\r") for line in whole)
    if rest:
        yield rest


def write_file(path: Path, chunks: Iterable[bytes]) -> None:
    """A file on disk, there only when it is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("wb") as stream:
            for chunk in chunks:
                stream.write(chunk)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


# --- tables ---


def rows_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    """Rows of values under their columns; numbers to the right."""
    rows = list(rows)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for at, name in enumerate(columns):
        numeric = bool(rows) and all(isinstance(row[at], int | float | None) for row in rows)
        table.add_column(cell(name), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(cell(value) for value in row))
    return table


def import_table(shown: Mapping[str, Any]) -> Table:
    """One import: what it is, where it stands, and its counts."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in _facts(shown):
        table.add_row(cell(name), value)
    return table


def _facts(shown: Mapping[str, Any]) -> Iterator[tuple[str, Text]]:
    state, source, counts = str(shown["state"]), shown.get("source", {}), shown.get("counts", {})
    yield "import", cell(shown["id"])
    yield "dataset", cell(shown["dataset"])
    yield "file", cell(f"{source.get('filename', '')} ({counted(source.get('size_bytes', 0), 'byte')})")
    yield "state", cell(state, COLOURS.get(state, "cyan"))
    if shown.get("reason"):
        yield "reason", cell(shown["reason"])
    if shown.get("queue_position"):
        yield "in the queue", cell(shown["queue_position"])
    if shown.get("dry_run"):
        yield "dry run", cell("nothing is written")
    yield "records", cell(counts_line(counts))
    if shown.get("dry_run") and shown.get("preview"):
        yield "a load would", cell(preview_line(shown["preview"]))
    parts = shown.get("parts") or {}
    if parts.get("total"):
        yield "parts", cell(f"{parts['done']:,} of {parts['total']:,}")
    by_code = (shown.get("findings") or {}).get("by_code") or {}
    if by_code:
        yield "findings", cell(", ".join(f"{code} {number:,}" for code, number in sorted(by_code.items())))
    yield "report", cell(shown.get("links", {}).get("report", ""))


def counts_line(counts: Mapping[str, int]) -> str:
    """``5,295 total, 5,295 valid, 5,295 inserted``: zeros only where all is zero."""
    told = [f"{counts[name]:,} {name}" for name in COUNTS if counts.get(name)]
    return ", ".join(told) or "none yet"


def preview_line(preview: Mapping[str, int]) -> str:
    """``insert 100, update 2 (1 to another parent), leave 498 unchanged``: all of it, zeros too."""
    moved = f" ({preview['moved']:,} to another parent)" if preview["moved"] else ""
    told = f"insert {preview['inserted']:,}, update {preview['updated']:,}{moved}, leave {preview['unchanged']:,} unchanged"
    return told + (f", fail with {preview['failed']:,}" if preview.get("failed") else "")


FINDING_COLUMNS = ("place", "row", "code", "column", "value")


def findings_view(findings: Sequence[Mapping[str, Any]]) -> Group:
    """Findings, one a line, a cycle with its path; below them what to do about each code."""
    rows = [[*(finding.get(name) for name in FINDING_COLUMNS), _words(finding)] for finding in findings]
    return Group(rows_table(("where", "record", *FINDING_COLUMNS[2:], "message"), rows), *_hints(findings))


HINT_ROWS = 5
GROUP_COLUMNS = ("count", "where", "code", "column", "value", "message")


def groups_view(groups: Sequence[Mapping[str, Any]]) -> Group:
    """Findings that say the same, one group a line, with the first of its rows; below them what to do."""
    return Group(rows_table(GROUP_COLUMNS, [_group_row(one) for one in groups]), *_hints(groups))


def _group_row(group: Mapping[str, Any]) -> list[object]:
    first = group["first"]
    is_more = group["count"] > len(first)
    places = [place for finding in first if (place := finding.get("place") or record_name(finding["row"]))]
    if len(places) == group["count"] == 1:
        places = [place_and_record(places[0], first[0]["row"])]
    values = list(dict.fromkeys(str(finding["value"]) for finding in first if finding["value"] is not None))
    shown = [_listed(places, is_more), group["code"], group["column"], _listed(values, is_more and len(values) > 1)]
    return [group["count"], *shown, _words(first[0]) if group["count"] == 1 else group["message"]]


def _listed(words: Sequence[str], is_more: bool) -> str:
    return ", ".join([*words, "…"] if is_more and words else words)


def _hints(said: Sequence[Mapping[str, Any]]) -> list[Text]:
    """What to do about each code; where the hints of one code differ, each with the records that it is for."""
    rows: dict[str, dict[str, list[str]]] = {}
    for one in said:
        if one.get("hint"):
            hints = rows.setdefault(str(one["code"]), {})
            hints.setdefault(str(one["hint"]), []).extend(_rows_of(one))
    told = [
        Text.assemble(cell(f"{code}{_in_rows(at) if len(hints) > 1 else ''}: ", "bold"), cell(hint))
        for code, hints in rows.items()
        for hint, at in hints.items()
    ]
    return [Text(), *told] if told else []


def _rows_of(said: Mapping[str, Any]) -> list[str]:
    """The rows that a finding, or the first findings of a group, are about."""
    return [str(one["row"]) for one in said.get("first", [said]) if one.get("row") is not None]


def _in_rows(rows: Sequence[str]) -> str:
    if not rows:
        return ""
    shown = _listed(rows[:HINT_ROWS], len(rows) > HINT_ROWS)
    return f" ({'record' if len(rows) == 1 else 'records'} {shown})"


def _words(finding: Mapping[str, Any]) -> str:
    message, path = str(finding.get("message") or ""), " → ".join(map(str, finding.get("cycle") or ()))
    return f"{message} {path}" if path and path not in message else message


# --- progress ---


class Following:
    """Draws an upload and then its import's phases on stderr; call ``sent`` and ``seen`` as they come."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress  # None: nobody watches, so plain lines
        self._upload: TaskID | None = None
        self._phase: TaskID | None = None
        self._said = ""

    def sent(self, sent_bytes: int, total_bytes: int | None) -> None:
        """So much of the file has gone."""
        if self._progress is None:
            return
        if self._upload is None:
            self._upload = self._progress.add_task("uploading", total=total_bytes, kind="bytes", note="")
        self._progress.update(self._upload, completed=sent_bytes, total=total_bytes)

    def uploaded(self) -> None:
        """All of the file has gone."""
        if self._progress is not None and self._upload is not None:
            done = next(t.completed for t in self._progress.tasks if t.id == self._upload)
            self._progress.update(self._upload, description="uploaded", completed=done, total=done)

    def seen(self, shown: Mapping[str, Any]) -> None:
        """The import stands so."""
        state, done, total, note = standing(shown)
        if self._progress is None:
            line = f"{state} {note}".strip()
            if line != self._said:
                say(line)
            self._said = line
            return
        if state != self._said:
            self._close_phase(shown)
            if state not in COLOURS:
                self._phase = self._progress.add_task(state, total=total, kind="records", note=note)
            self._said = state
        if self._phase is not None:
            self._progress.update(self._phase, completed=done, total=total, note=note)

    def _close_phase(self, shown: Mapping[str, Any]) -> None:
        """The next phase has begun: what the last one did in its last moment is known by now."""
        if self._progress is None or self._phase is None:
            return
        note = standing({**shown, "state": self._said})[3]
        self._progress.update(self._phase, total=1, completed=1, note="" if self._said == "queued" else note)
        self._phase = None


def standing(shown: Mapping[str, Any]) -> tuple[str, int, int | None, str]:
    """(state, done, of how many, a note) of an import; None where nobody knows of how many."""
    state, counts = str(shown["state"]), shown.get("counts", {})
    if state == "queued":
        ahead = shown.get("queue_position")
        return state, 0, None, f"(position {ahead})" if ahead else ""
    if state == "loading":
        done = sum(counts.get(name, 0) for name in ("inserted", "updated", "unchanged", "failed"))
        total = counts.get("total") or 0
        return state, done, total or None, f"{done:,} of {counted(total, 'record')}"
    if state in COLOURS:
        return state, 1, 1, counts_line(counts)
    return state, 0, None, counted(counts["total"], "record") if counts.get("total") else ""


class _Speed(TransferSpeedColumn):
    """Speed in bytes, of what is measured in bytes."""

    def render(self, task: Any) -> Text:
        is_known = task.fields.get("kind") == "bytes" and (task.finished_speed or task.speed)
        return super().render(task) if is_known else Text("")


class _Left(TimeRemainingColumn):
    """Time left, of what is measured in bytes, while it goes on."""

    def render(self, task: Any) -> Text:
        is_known = task.fields.get("kind") == "bytes" and not task.finished and task.time_remaining is not None
        return Text.assemble(super().render(task), (" left", "progress.remaining")) if is_known else Text("")


class _Size(DownloadColumn):
    """Size in bytes, of what is measured in bytes; a note for the rest."""

    def render(self, task: Any) -> Text:
        if task.fields.get("kind") == "bytes":
            return super().render(task)
        return cell(task.fields.get("note", ""))


@contextmanager
def following() -> Iterator[Following]:
    """Progress for as long as the block lasts."""
    console = err()
    if not console.is_terminal:
        yield Following(None)
        return
    columns = (TextColumn("{task.description:<20}"), BarColumn(28), TimeElapsedColumn(), _Size(), _Speed(), _Left())
    with Progress(*columns, console=console, redirect_stdout=False) as progress:
        yield Following(progress)


@contextmanager
def working(text: str) -> Iterator[None]:
    """Something takes a while."""
    console = err()
    if not console.is_terminal:
        yield
        return
    with console.status(Text(visible(text))):
        yield


def since(start: float) -> str:
    """Seconds since a time.monotonic()."""
    return f"{time.monotonic() - start:.1f} s"
