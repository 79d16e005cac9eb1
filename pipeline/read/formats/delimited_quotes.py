"""Judge what quotes mean in a delimited text: whether they are data, and whether a quote that was left open hides records."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pipeline.read.formats.delimited_dialect import Dialect
from pipeline.read.raw_tables import RawTables
from pipeline.sqlfiles import literal, quoted

_SHOWN = 50
_SAMPLE = 100


def quotes_are_data(file: Path, delimiter: str, width: int) -> bool:
    """Return whether every line has the header's width if quotes are data, and some value is not in quotes as a whole.

    It stops at the first line of another width, so a text with quoted line ends is hardly read.
    """
    broken = False
    with file.open(encoding="utf-8-sig", newline="") as text:
        for line in text:
            bare = line.rstrip("\r\n\x1a")
            if bare and bare.count(delimiter) != width - 1 and bare.strip() not in ("", "\\."):
                return False
            if '"' in bare and not broken:
                broken = any(value[:1] == '"' and not _is_closed(value) for value in bare.split(delimiter))
            if '""' in bare and any(
                len(value) > 2 and '""' in value[1:-1] and _is_closed(value) for value in bare.split(delimiter)
            ):
                return False
    return broken


def _is_closed(value: str) -> bool:
    """Return whether quotes surround a value, and those inside it are written twice."""
    return len(value) > 1 and value[-1] == '"' and '"' not in value[1:-1].replace('""', "")


def warn_about_swallowed(staging: RawTables, names: Sequence[str], dialect: Dialect) -> None:
    """Add a warning for every quoted value over several lines of which some look like records; in all for many."""
    width, key = len(names), staging.dataset.key if staging.dataset.key in names else names[0]
    if width < 3 or not dialect.quote:
        return
    pattern = {"shape": rf"(?:^|\n){_shape(dialect.character, width, _id_pattern(staging, key))}\r?(?:\n|$)"}
    split = "{0}" if dialect.is_fast else f"replace({{0}}, {literal(dialect.delimiter)}, {literal(dialect.character)})"
    shaped = f"regexp_matches(substr({split}, strpos({split}, chr(10))), $shape)"
    long = " or ".join(shaped.format(quoted(name)) for name in names)
    lines = " or ".join(f"contains({column}, chr(10))" for column in map(quoted, names))
    found = f"from raw where ({lines}) and ({long})"
    ((count,),) = staging.connection.execute(f"select count(*) {found}", pattern).fetchall()
    if count:
        _report(staging, names, count, found, pattern)


def _report(staging: RawTables, names: Sequence[str], count: int, found: str, pattern: dict[str, str]) -> None:
    texts = ", ".join(map(quoted, names))
    rows = staging.connection.execute(
        f"""with found as (select _row, {texts} {found} order by _row limit {_SHOWN})
        select _row, first_line + _row - first_row, {texts} from found asof left join lines on _row >= first_row
        order by _row""",
        pattern,
    ).fetchall()
    for row, line, *values in rows:
        column, first, last = _place(values, names, line)
        staging.add_finding(
            "swallowed_records",
            f"The value of {column} is in quotes and goes from line {first:,} to line {last:,}."
            " Some of these lines look like records of their own.",
            row=row,
            line=line,
            column=column,
            value=values[names.index(column)],
            severity="warning",
            hint="Perhaps a quote was left open: close it. If quotes are part of the values, say quote=none.",
        )
    if count > len(rows):
        message = f"{count - len(rows):,} more values in quotes contain lines that look like records."
        staging.add_finding("swallowed_records", message, severity="warning", hint="Check the quotes of the whole file.")


def _place(values: Sequence[str | None], names: Sequence[str], line: int) -> tuple[str, int, int]:
    """Return the column with the most lines, and the first and the last line of its value."""
    feeds = [(value or "").count("\n") for value in values]
    at = feeds.index(max(feeds))
    first = line + sum(feeds[:at])
    return names[at], first, first + feeds[at]


def _id_pattern(staging: RawTables, key: str) -> str:
    sample = f"select {quoted(key)} from raw where {quoted(key)} is not null limit {_SAMPLE}"
    ((numbers,),) = staging.connection.execute(
        f"select bool_and(regexp_full_match({quoted(key)}, '[0-9]+')) from ({sample})"
    ).fetchall()
    return "[0-9]+" if numbers else ""


def _shape(mark: str, width: int, id_pattern: str) -> str:
    """Return the pattern of a line with as many values as the header, none with a space first; the first is like an id."""
    one = f"\\x{{{ord(mark):x}}}"
    first = id_pattern or f"[^\\s{one}]{{1,64}}"
    return rf"{first}(?:{one}(?:[^ {one}\n][^{one}\n]*)?){{{width - 1}}}"
