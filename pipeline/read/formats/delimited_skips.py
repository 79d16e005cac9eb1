"""Say which records of a delimited text are none, and report them once: blank rows, repeated headers, rulers, footers."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.datasets.column_forms import loose_form
from pipeline.read.formats.delimited_lines import is_footer, is_ruler, is_ruler_record
from pipeline.read.raw_tables import RawTables

_TYPES = {  # as databases and data frames name them
    *("text", "string", "str", "varchar", "nvarchar", "char", "varchar2", "json", "jsonb", "object", "category", "uuid"),
    *("integer", "int", "int4", "int8", "int64", "bigint", "smallint", "number", "numeric", "decimal", "float", "float64"),
    *("double", "real", "date", "datetime", "timestamp", "time", "boolean", "bool"),
}
BLANK = " \t"
"""What a blank row may have beside delimiters."""

_SHOWN = 10
_COPY_HINT = (
    "COPY writes \\N for no value and \\t, \\n and \\\\ in values, which are read as they are."
    " Export with COPY ... WITH (FORMAT csv, HEADER) instead."
)


class Skips:
    """The lines that are passed over, while the records are read."""

    def __init__(self, written: Sequence[str], above: Sequence[tuple[int, str]] = ()) -> None:
        self._written = written
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
        reason = why_below_header(record, self._written) if self._is_below_header else ""
        reason = reason or why_none(record, self._written)
        self._is_below_header = reason in (_AGAIN, _DASHES)
        if reason:
            self._note(line, reason)
        return bool(reason)

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


_AGAIN, _DASHES, _KINDS, _FOOTER = "the header again", "a line of dashes", "the columns' types", "a footer"
_COPY_END = "the end mark of PostgreSQL's COPY"


def why_below_header(record: Sequence[str], written: Sequence[str]) -> str:
    """Return why the record below a header belongs to it, or an empty string."""
    if is_ruler_record(list(record)) or (len(record) == 1 and is_ruler(record[0])):
        return _DASHES
    bare = [value.strip().lower() for value in record]
    if len(record) > 1 and list(map(loose_form, record)) == list(map(loose_form, written)):
        return _AGAIN
    return _KINDS if len(bare) > 1 and len(bare) >= len(written) and set(bare) <= _TYPES else ""  # no cell is empty


def why_none(record: Sequence[str], written: Sequence[str]) -> str:
    """Return why a record anywhere in the file is none, or an empty string."""
    if len(written) > 1 and len(record) == 1:
        if is_footer(record):
            return _COPY_END if record[0].strip() == "\\." else _FOOTER
        return _DASHES if is_ruler(record[0]) else ""
    same = len(record) > 1 and [value.strip("\ufeff") for value in record[: len(written)]] == [*written]
    return _AGAIN if same and not any(record[len(written) :]) else ""


def _listed(lines: Sequence[int], count: int) -> str:
    more = f" and {count - len(lines):,} more" if count > len(lines) else ""
    return ("line " if count == 1 else "lines ") + ", ".join(f"{line:,}" for line in lines) + more
