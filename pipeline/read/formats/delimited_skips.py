"""Say which records of a delimited text are none, and report them once: blank rows, repeated headers, rulers, footers."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.datasets.column_forms import loose_form
from pipeline.display import listed
from pipeline.read.formats.delimited_lines import (
    is_footer,
    is_late_comment,
    is_ruler,
    is_ruler_record,
    rows_in_footer,
    stands_for_others,
)
from pipeline.read.raw_tables import RawTables

_TYPES = {  # as databases and data frames name them
    *("text", "string", "str", "varchar", "nvarchar", "char", "varchar2", "json", "jsonb", "object", "category", "uuid"),
    *("integer", "int", "int4", "int8", "int64", "bigint", "smallint", "number", "numeric", "decimal", "float", "float64"),
    *("double", "real", "date", "datetime", "timestamp", "time", "boolean", "bool"),
    *("i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64", "f32", "f64", "int16", "int32", "uint32", "uint64", "hugeint"),
}
_UNITS = {
    *(
        "m",
        "km",
        "cm",
        "mm",
        "ft",
        "mi",
        "m2",
        "m²",
        "km2",
        "km²",
        "ha",
        "m3",
        "m³",
        "l",
        "kg",
        "g",
        "mg",
        "t",
        "lb",
        "s",
        "sec",
    ),
    *("min", "h", "d", "yr", "year", "years", "%", "‰", "€", "$", "eur", "usd", "gbp", "°c", "c", "k", "hz", "w", "kw", "mw"),
    *("kwh", "v", "a", "pa", "hpa", "bar", "deg", "°", "ppm", "count", "n", "no.", "pcs", "each", "unit", "units", "text"),
}
_NO_UNIT = {"", "-", "--", "–", "—", "/", "n/a", "none", "id"}
BLANK = " \t\f\v"
"""What a blank row may have beside delimiters."""

_SHOWN = 10
_COPY_HINT = (
    "COPY writes \\N for no value and \\t, \\n and \\\\ in values, which are read as they are."
    " Export with COPY ... WITH (FORMAT csv, HEADER) instead."
)


class Skips:
    """The lines that are passed over, while the records are read."""

    def __init__(
        self, written: Sequence[str], above: Sequence[tuple[int, str]] = (), key: int = 0, *, by_space: bool = False
    ) -> None:
        self._written, self._key, self._by_space = written, key, by_space
        self._since_footer = 0  # records
        self._wrong_counts: list[tuple[int, int, int]] = []  # line of a footer, rows that it says, records above it
        self._left_out: list[int] = []  # lines that stand for rows which were not printed
        self._reasons: dict[str, list[int]] = {}
        self._counts: dict[str, int] = {}
        self._blank: list[int] = []
        self.blank_rows = 0
        self._is_below_header = True
        for line, reason in above:
            self._note(line, reason)

    def is_none(self, record: Sequence[str], line: int, text: str) -> bool:
        """Return whether a record is none, and remember its line. ``text`` is what the file has."""
        if not any(value.strip(BLANK) for value in record) and '"' not in text:
            self.blank_rows += 1
            if len(self._blank) < _SHOWN:
                self._blank.append(line)
            return True
        is_odd = self._by_space or len(record) != len(self._written)
        if is_odd and (is_footer([text.strip()]) or is_late_comment(text) or is_ruler(text)):
            record = [text.strip()]  # the delimiters in it separate no values
        reason = why_below_header(record, self._written, self._key) if self._is_below_header else ""
        reason = reason or why_none(record, self._written)
        self._is_below_header = reason in (_AGAIN, _DASHES)
        if not reason:
            self._since_footer += 1
            return False
        self._note(line, reason)
        if reason == _LEFT_OUT and len(self._left_out) < _SHOWN:
            self._left_out.append(line)
        said = rows_in_footer(record[0]) if reason == _FOOTER else None
        if said is not None:
            if self._since_footer and said != self._since_footer and len(self._wrong_counts) < _SHOWN:
                self._wrong_counts.append((line, said, self._since_footer))
            self._since_footer = 0
        return True

    def _note(self, line: int, reason: str) -> None:
        lines = self._reasons.setdefault(reason, [])
        self._counts[reason] = self._counts.get(reason, 0) + 1
        if len(lines) < _SHOWN:
            lines.append(line)

    def report(self, staging: RawTables) -> None:
        """Add a warning with the lines that were skipped, and one with the blank rows."""
        if self._reasons:
            said = [f"{_listed(lines, self._counts[reason])} ({reason})" for reason, lines in self._reasons.items()]
            staging.add_finding(
                "skipped_lines",
                f"Lines that are no records were skipped: {'; '.join(said)}.",
                severity="warning",
                line=min(min(lines) for lines in self._reasons.values()),
                hint=_COPY_HINT if _COPY_END in self._reasons else "Check that none of them is a record.",
            )
        self._report_incomplete(staging)
        if self.blank_rows:
            one = self.blank_rows == 1
            rows = "1 row has no value and was" if one else f"{self.blank_rows:,} rows have no value and were"
            staging.add_finding(
                "blank_rows",
                f"{rows} skipped: {_listed(self._blank, self.blank_rows)}.",
                severity="warning",
                line=self._blank[0],
                hint="Delete the rows, rather than clear their cells.",
            )

    def _report_incomplete(self, staging: RawTables) -> None:
        """Add an error for each footer that counts more rows than were read, and for rows that were not printed."""
        for line, said, read in self._wrong_counts:
            staging.add_finding(
                "incomplete_file",
                f"The footer says that there are {said:,} rows, but {read:,} were read above it.",
                severity="error" if said > read else "warning",
                line=line,
                hint="The file may be cut off: export it again. If the rows are right, remove the footer.",
            )
        if self._left_out:
            staging.add_finding(
                "incomplete_file",
                f"The program that printed the table left out rows: {_listed(self._left_out, self._counts[_LEFT_OUT])}.",
                line=self._left_out[0],
                hint="Export the whole table to a file, as CSV or Parquet, instead of printing it.",
            )


_AGAIN, _DASHES, _KINDS, _FOOTER = "the header again", "a line of dashes", "the columns' types", "a footer"
_UNIT_ROW, _COMMENT, _LEFT_OUT = "the columns' units", "a comment", "rows that were not printed"
_COPY_END = "the end mark of PostgreSQL's COPY"


def why_below_header(record: Sequence[str], written: Sequence[str], key: int = 0) -> str:
    """Return why the record below a header belongs to it, or an empty string. ``key``: the place of the ids' column."""
    if is_ruler_record(list(record)) or (len(record) == 1 and is_ruler(record[0])):
        return _DASHES
    bare = [value.strip().lower() for value in record]
    if len(record) > 1 and list(map(loose_form, record)) == list(map(loose_form, written)):
        return _AGAIN
    if len(bare) > 1 and len(bare) >= len(written) and set(bare) <= _TYPES:  # no cell is empty
        return _KINDS
    return _UNIT_ROW if len(bare) > 1 and len(bare) == len(written) and are_units(bare, key) else ""


def are_units(values: Sequence[str], key: int) -> bool:
    """Return whether values, in lower case, are units of measurement, some of them at least, and none where the ids are."""
    bare = [value[1:-1].strip() if value[:1] + value[-1:] in ("[]", "()") else value for value in values]
    bracketed = [one != value for one, value in zip(bare, values, strict=True)]
    known = all(one in _UNITS or one in _TYPES or one in _NO_UNIT for one in bare)
    # a record without an id may have a name of one letter, or a name such as "text"
    some = any(bracketed) or (values[key] != "" and any(one in _UNITS and len(one) > 1 and one != "text" for one in bare))
    return known and some and bare[key] in _NO_UNIT


def why_none(record: Sequence[str], written: Sequence[str]) -> str:
    """Return why a record anywhere in the file is none, or an empty string."""
    if len(written) > 1 and stands_for_others(record):
        return _LEFT_OUT
    if len(written) > 1 and len(record) == 1:
        if is_footer(record):
            return _COPY_END if record[0].strip() == "\\." else _FOOTER
        if is_late_comment(record[0]):
            return _COMMENT
        return _DASHES if is_ruler(record[0]) else ""
    same = len(record) > 1 and [value.strip("\ufeff") for value in record[: len(written)]] == [*written]
    return _AGAIN if same and not any(record[len(written) :]) else ""


def _listed(lines: Sequence[int], count: int) -> str:
    return ("line " if count == 1 else "lines ") + listed([f"{line:,}" for line in lines], _SHOWN, count=count)
