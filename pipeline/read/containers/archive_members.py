"""Merge the files of one archive into one table: their rows follow each other, and each file has its own line numbers."""

from __future__ import annotations

from pipeline.errors import Unreadable
from pipeline.read.raw_tables import RawTables, printable
from pipeline.read.read_result import ReadResult
from pipeline.sqlfiles import quoted

SAME_COLUMNS = ("csv", "parquet", "xlsx")
"""The formats that name their columns once per file; JSON does so in every record."""

_NUMBERED = {"findings": "row", "malformed": "_row", "lines": "first_row", "declared_totals": "_row"}


class MergedMembers:
    """The files read so far, with ``records`` rows in the table ``merged``, until ``finish`` renames it to ``raw``."""

    def __init__(self, staging: RawTables) -> None:
        self._staging = staging
        self._tables: list[ReadResult] = []
        self._first = ("", "")  # name and format of the first file
        self._seen = dict.fromkeys(_NUMBERED, 0)
        self.records = 0
        staging.connection.execute("create table merged (_row bigint)")
        staging.connection.execute("create table members (first_row bigint not null, name varchar not null)")

    def add(self, name: str, form: str, table: ReadResult) -> None:
        """Append the file that is in ``raw`` now. Raises Unreadable if its format or columns differ from the first one's."""
        if not self._tables:
            self._first = name, form
        self._check(name, form, table)
        self._append(table)
        self._renumber(name)
        if table.records:
            self._staging.connection.execute("insert into members values (?, ?)", [self.records + 1, name])
        self._tables.append(table)
        self.records += table.records

    def finish(self) -> ReadResult:
        """Make all files one table, ``raw``, and return its result."""
        self._staging.connection.execute("alter table merged rename to raw")
        named = {
            name: original
            for one in self._tables
            for name, original in zip(one.columns, one.originals or one.columns, strict=True)
        }
        return ReadResult(
            records=self.records,
            columns=tuple(named),
            longest_bytes=max(one.longest_bytes for one in self._tables),
            has_nul=any(one.has_nul for one in self._tables),
            delimiter=", ".join(dict.fromkeys(one.delimiter for one in self._tables if one.delimiter)),
            originals=tuple(named.values()),
            is_plain=all(one.is_plain for one in self._tables),
            sheet=", ".join(dict.fromkeys(one.sheet for one in self._tables if one.sheet)),
        )

    def _check(self, name: str, form: str, table: ReadResult) -> None:
        first, first_form = self._first
        if form != first_form:
            raise Unreadable(
                f"The files of an archive must be of one format: {printable(first)} is {first_form},"
                f" {printable(name)} is {form}.",
                hint="Upload them one by one.",
            )
        if form not in SAME_COLUMNS or not self._tables:
            return
        ours, theirs = set(self._tables[0].columns), set(table.columns)
        if ours != theirs:
            more = f"has {', '.join(sorted(theirs - ours))} besides" if theirs - ours else ""
            less = f"lacks {', '.join(sorted(ours - theirs))}" if ours - theirs else ""
            raise Unreadable(
                f"The files of an archive must have the same columns: {printable(name)}"
                f" {' and '.join(filter(None, (less, more)))}, compared with {printable(first)}.",
                code="missing_column" if less else "unknown_column",
                hint="Give all files the same header, in any order.",
            )

    def _append(self, table: ReadResult) -> None:
        connection = self._staging.connection
        for name in table.columns:
            connection.execute(f"alter table merged add column if not exists {quoted(name)} varchar")
        shifted = f"select * replace (_row + {self.records} as _row) from raw"
        connection.execute(f"insert into merged by name {shifted}")
        self._staging.drop_raw()

    def _renumber(self, name: str) -> None:
        """Number the file's rows on from the ones before; put its name into findings that are not about one row."""
        self._staging.flush()
        connection = self._staging.connection
        seen = self._seen["findings"]
        connection.execute(
            """delete from findings where rowid >= $seen and code = 'unknown_column' and "column" in
            (select "column" from findings where rowid < $seen and code = 'unknown_column')""",
            {"seen": seen},
        )
        connection.execute(
            "update findings set message = 'In ' || $name || ': ' || message where row is null and rowid >= $seen",
            {"name": printable(name), "seen": seen},
        )
        for kind, number in _NUMBERED.items():
            if self.records:
                connection.execute(
                    f"update {kind} set {number} = {number} + $offset where rowid >= $seen",
                    {"offset": self.records, "seen": self._seen[kind]},
                )
            ((after,),) = connection.execute(f"select coalesce(max(rowid) + 1, 0) from {kind}").fetchall()
            self._seen[kind] = int(after)
