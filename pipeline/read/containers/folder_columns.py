"""Columns that the folders of a partitioned table give to their files' records: ``region=EU/part-0.csv``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from pipeline.datasets.table import LINEAGE
from pipeline.display import listed
from pipeline.errors import Unreadable
from pipeline.read import column_mapping
from pipeline.read.raw_tables import RawTables, printable
from pipeline.read.read_result import ReadResult
from pipeline.sqlfiles import quoted


class FolderColumns:
    """Adds them to ``raw``, after each file is read. ``partitions``: column -> value, for each of the files."""

    def __init__(self, partitions: Sequence[Mapping[str, str | None]], staging: RawTables) -> None:
        self._partitions, self._staging = partitions, staging
        self._names: dict[str, str] = {}  # in the folders -> in ``raw``
        self._refused: dict[str, str] = {}  # why they are not read
        self._is_decided = False

    def add_to(self, table: ReadResult, number: int) -> ReadResult:
        """Add them to ``raw``, which has the file with this number, from 0. Raises Unreadable if this file has one, too."""
        if not any(self._partitions):
            return table
        if not self._is_decided:
            self._decide(table)
        values = {self._names[column]: value for column, value in self._partitions[number].items() if column in self._names}
        twice = set(values) & set(table.columns)
        if twice:
            name = printable(min(twice))
            raise Unreadable(
                f"The folder and some of the files name a column {name}.", code="duplicate_column", hint="Remove one of them."
            )
        self._write(values)
        return self._with_columns(table, values)

    def _decide(self, table: ReadResult) -> None:
        """Choose the columns that are added, by the first file."""
        self._is_decided = True
        dataset, taken = self._staging.dataset, {name.casefold() for name in table.columns}
        for column in dict.fromkeys(key for one in self._partitions for key in one):
            name = column_mapping.mapped_name(column, dataset)
            if name.startswith(column_mapping.SKIPPED):
                continue
            if not all(column in one for one in self._partitions):
                self._refused[column] = "not all files are in such a folder"
            elif name.casefold() in taken:
                self._refused[column] = "the files have a column of that name"
            elif name.casefold() in LINEAGE or column_mapping.is_unknown(name, dataset):
                self._refused[column] = f"the dataset {dataset.name} has no such column"
            else:
                self._names[column] = name
                taken.add(name.casefold())

    def report(self) -> None:
        """Add a warning for each column of the folders' names, once all files are read."""
        for column in self._names:
            self._warn(column, "")
        for column, why in self._refused.items():
            self._warn(column, why)

    def _warn(self, column: str, why: str) -> None:
        values = list(dict.fromkeys(one[column] or "" for one in self._partitions if column in one))
        named = listed([f"{printable(column)}={printable(value)}" for value in values])
        done = f"is not read, because {why}" if why else "is read from them as a column"
        self._staging.add_finding(
            "folder_columns",
            f"The archive has folders named {named}: {printable(column)} {done}.",
            hint="Write it into the files as a column, if the records need it." if why else "Skip the column, if it is none.",
            severity="warning",
        )

    def _write(self, values: Mapping[str, str | None]) -> None:
        if not values:
            return
        connection = self._staging.connection
        kept = ", ".join(f"${place} as {quoted(name)}" for place, name in enumerate(values, 1))
        connection.execute(f"create table with_folders as select *, {kept} from raw limit 0", list(values.values()))
        for name in values:
            connection.execute(f"alter table with_folders alter column {quoted(name)} type varchar")
        connection.execute(f"insert into with_folders select *, {kept} from raw", list(values.values()))
        self._staging.drop_raw()
        connection.execute("alter table with_folders rename to raw")

    def _with_columns(self, table: ReadResult, values: Mapping[str, str | None]) -> ReadResult:
        originals = {name: column for column, name in self._names.items()}
        texts = [value or "" for value in values.values()]
        return replace(
            table,
            columns=(*table.columns, *values),
            originals=(*(table.originals or table.columns), *(originals[name] for name in values)),
            longest_bytes=max(table.longest_bytes, *(len(text.encode()) for text in texts), 0),
            is_plain=table.is_plain and all(text.isascii() and text.isprintable() for text in texts),
            has_nul=table.has_nul or any("\0" in text for text in texts),
            letters=(*table.letters, *("" for _ in values)) if table.letters else (),
        )
