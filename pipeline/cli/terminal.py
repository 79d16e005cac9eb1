"""Print data on stdout and messages on stderr, as tables, JSON or lines.

Values from files are escaped by ``visible``, so that they cannot contain control characters, and are never read as markup.
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
from rich.table import Table
from rich.text import Text

from pipeline.display import counted, place_and_record, record_name, visible

UNBOUNDED_WIDTH = 1 << 20
"""Tables are not folded when stdout is a pipe or a file."""

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
    """Return a value for a table, escaped and never read as markup."""
    return Text("" if value is None else visible(value), style=style, overflow="fold")


# --- streams ---


def out() -> Console:
    """Return the console of stdout, for data."""
    stream = sys.stdout
    width = None if stream.isatty() else UNBOUNDED_WIDTH
    return Console(file=stream, width=width, markup=False, highlight=False, emoji=False)


def err() -> Console:
    """Return the console of stderr, for messages."""
    return Console(file=sys.stderr, markup=False, highlight=False, emoji=False, soft_wrap=not sys.stderr.isatty())


def say(text: str, style: str | None = None) -> None:
    """Print a message on stderr."""
    err().print(visible(text, keep="\n"), style=style, soft_wrap=True)


def print_line(text: str) -> None:
    """Print a line of data on stdout."""
    sys.stdout.write(visible(text) + "\n")


def as_json(value: object) -> str:
    """Return an indented JSON document; hidden characters are escaped as in JSON."""
    return visible(json.dumps(value, indent=2, ensure_ascii=False, default=str), keep="\n") + "\n"


def print_json(value: object) -> None:
    """Print one JSON document on stdout."""
    sys.stdout.write(as_json(value))


def print_chunks(chunks: Iterable[bytes]) -> None:
    """Print a file on stdout: its exact bytes into a pipe, escaped on a terminal."""
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
    """Write a file, which appears under its name only once it is complete."""
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
    """Return a table of rows; columns of numbers are aligned to the right."""
    rows = list(rows)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for at, name in enumerate(columns):
        numeric = bool(rows) and all(isinstance(row[at], int | float | None) for row in rows)
        table.add_column(cell(name), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(cell(value) for value in row))
    return table


def import_table(shown: Mapping[str, Any]) -> Table:
    """Return a table that shows one import: its file, its state and its counts."""
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
    """Return ``5,295 total, 5,295 valid, 5,295 inserted``, without zeros."""
    told = [f"{counts[name]:,} {name}" for name in COUNTS if counts.get(name)]
    return ", ".join(told) or "none yet"


def preview_line(preview: Mapping[str, int]) -> str:
    """Return ``insert 100, update 2 (1 to another parent), leave 498 unchanged``, zeros included."""
    moved = f" ({preview['moved']:,} to another parent)" if preview["moved"] else ""
    told = f"insert {preview['inserted']:,}, update {preview['updated']:,}{moved}, leave {preview['unchanged']:,} unchanged"
    return told + (f", fail with {preview['failed']:,}" if preview.get("failed") else "")


FINDING_COLUMNS = ("place", "row", "code", "column", "value")


def findings_view(findings: Sequence[Mapping[str, Any]]) -> Group:
    """Return findings, one per line, cycles with their path; below them what to do about each code."""
    rows = [[*(finding.get(name) for name in FINDING_COLUMNS), _words(finding)] for finding in findings]
    return Group(rows_table(("where", "record", *FINDING_COLUMNS[2:], "message"), rows), *_hints(findings))


HINT_ROWS = 5
GROUP_COLUMNS = ("count", "where", "code", "column", "value", "message")


def groups_view(groups: Sequence[Mapping[str, Any]]) -> Group:
    """Return groups of equal findings, one per line, with their first rows; below them what to do."""
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
    """Return what to do about each code; if the hints of one code differ, each with its records."""
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
    """Return the records of a finding, or of the first findings of a group."""
    return [str(one["row"]) for one in said.get("first", [said]) if one.get("row") is not None]


def _in_rows(rows: Sequence[str]) -> str:
    if not rows:
        return ""
    shown = _listed(rows[:HINT_ROWS], len(rows) > HINT_ROWS)
    return f" ({'record' if len(rows) == 1 else 'records'} {shown})"


def _words(finding: Mapping[str, Any]) -> str:
    message, path = str(finding.get("message") or ""), " → ".join(map(str, finding.get("cycle") or ()))
    return f"{message} {path}" if path and path not in message else message


# --- time ---


@contextmanager
def working(text: str) -> Iterator[None]:
    """Show on a terminal what is being done while the block runs."""
    console = err()
    if not console.is_terminal:
        yield
        return
    with console.status(Text(visible(text))):
        yield


def since(start: float) -> str:
    """Return the seconds since a time.monotonic() as text."""
    return f"{time.monotonic() - start:.1f} s"
