"""From what a shape found to ``raw``: the file's rows with ids and parents, and after them the rows that it generated.

A shape fills the temporary tables ``shaped_ids`` (_row, id, parent, label), with every row of ``raw``, and ``implied``
(first, level, id, parent, label), with the nodes that the file implies and does not list; ``first`` is the first row that
implies one. Rows of the file keep their numbers. Generated ones are numbered on from the last of the file, and have no line.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pipeline.datasets.shape_meta import Shape
from pipeline.display import counted
from pipeline.read.raw_tables import RawTables, printable
from pipeline.read.read_result import ReadResult
from pipeline.sqlfiles import quoted
from pipeline.staging.database import VALUE_LENGTH, by_rows, number

GENERATED = "generated"
"""The column in which generated rows have "true"; it becomes a key of the dataset's ``rest``."""

_EXAMPLES = 3
TABLES = """
create or replace temp table shaped_ids (_row bigint, id varchar, parent varchar, label varchar);
create or replace temp table implied (first bigint, level integer, id varchar, parent varchar, label varchar);
"""


@dataclass(frozen=True)
class ShapedFile:
    """A file in ``raw`` whose shape is being made into ids and parents."""

    staging: RawTables
    table: ReadResult
    named: dict[str, str]  # the columns that the shape names, with their names in ``raw``
    rows: str = "raw"  # the table with the values to make the hierarchy of: ``raw``, or ``cleaned`` by declared rules

    @property
    def is_cleaned(self) -> bool:
        """Return whether ``cleaned`` has the values, and ``raw`` keeps the file's own."""
        return self.rows != "raw"

    @property
    def shape(self) -> Shape:
        """Return the shape."""
        return self.staging.dataset.shape

    @property
    def said(self) -> dict[str, Any]:
        """Return what the shape says."""
        return dict(self.shape.said)

    def column(self, option: str) -> str:
        """Return the name in ``raw`` of the column that an option names, as SQL."""
        return quoted(self.named[self.said[option]])

    @property
    def id_column(self) -> str | None:
        """Return the column of ``raw`` that the option id names; None without it."""
        return self.named[self.said["id"]] if "id" in self.said and self.shape.kind != "edges" else None

    @property
    def own_id(self) -> str | None:
        """Return the SQL of the id that a row has of its own; None if ids are made of something else."""
        if self.id_column:
            return quoted(self.id_column)
        own = {self.named[name] for name in self.shape.columns}
        key = self.staging.dataset.key
        return quoted(key) if key in self.table.columns and key not in own else None

    def execute(self, statement: str, **values: object) -> None:
        """Run a statement in the database of the file."""
        self.staging.connection.execute(statement, values)

    def count(self, query: str) -> int:
        """Return the one number that a query gives."""
        return number(self.staging.connection, query)

    def find(self, query: str, *, code: str, severity: str = "error", hint: str = "", column: str = "") -> None:
        """Add a finding for each row of a query that gives (_row, message, value)."""
        self.staging.flush()
        self.execute(
            f"""insert into findings by name
            select $code as code, $severity as severity, message, _row as row, first_line + _row - first_row as line,
                nullif($column, '') as "column", left(value, {VALUE_LENGTH}) as value, nullif($hint, '') as hint
            from ({query}) as found asof left join lines on _row >= first_row order by _row""",
            **{"code": code, "severity": severity, "hint": hint, "column": column},
        )

    def examples(self, query: str) -> tuple[int, str]:
        """Return how many rows a query (one column of texts) gives, and the first of them as a list in a sentence."""
        total = self.count(f"select count(*) from ({query})")
        rows = self.staging.connection.execute(
            f"select left(one, 60) from ({query}) as found(one) limit {_EXAMPLES}"
        ).fetchall()
        shown = ", ".join(str(one) for (one,) in rows)
        return total, f"{shown} and {total - len(rows):,} more" if total > len(rows) else shown


def store(file: ShapedFile, label: str, *, key_from: str | None = None) -> ReadResult:
    """Make ``raw`` anew with ids, parents and ``label``, the column of names (empty: none), and the generated rows at its end.

    ``key_from`` is the column that is the id; it takes the key's name in ``raw`` and keeps its own in the file.
    """
    dataset, table = file.staging.dataset, file.table
    key_from = None if label and key_from == label else key_from  # one column cannot be both
    columns = [dataset.key if name == key_from else name for name in table.columns]
    made = {dataset.key: "id", dataset.parent: "parent"}
    if label and (label not in columns or label == file.named.get(file.said.get("column", ""))):
        made[label] = "label"
    generated = file.count("select count(*) from implied")
    mark = _free(GENERATED, columns) if generated and dataset.rest is not None else ""
    added = [name for name in (*made, *filter(None, [mark])) if name not in columns]
    own = {name: value for name, value in made.items() if name in added} if file.is_cleaned else made
    targets = [_copy_rows(file, columns, added, own, of="raw")]
    if file.is_cleaned:
        targets.append(_copy_rows(file, columns, added, made, of="cleaned"))
    _add_generated(file, label, mark, targets)
    longest = file.count(
        "select coalesce(max(strlen(id)), 0) from (select id from shaped_ids union all select id from implied)"
    )
    _replace_tables(file, targets)
    return replace(
        table,
        records=table.records + generated,
        columns=(*columns, *added),
        originals=(*(table.originals or table.columns), *added),
        longest_bytes=max(longest, table.longest_bytes),
        is_plain=table.is_plain and _is_plain(str(file.said.get("separator", ""))),
        generated=generated,
        ids_made_of=_sources_of_ids(file),
    )


def keep(file: ShapedFile, values: Mapping[str, str]) -> ReadResult:
    """Keep a file of results as it is, which has the parents already; only the column that is the id gets the key's name.

    ``values`` are the columns of ``cleaned`` that a shape writes in another way, as SQL: ``raw`` has them as the file did.
    """
    dataset, table = file.staging.dataset, file.table
    for name, value in values.items() if file.is_cleaned else ():
        file.execute(f"update cleaned set {quoted(name)} = {value}")
    key_from = file.id_column
    if key_from is None and dataset.key not in table.columns:
        key_from = file.named.get(file.said.get("column", ""))
    if key_from in (None, dataset.key) or dataset.key in table.columns:
        return table
    columns = [dataset.key if name == key_from else name for name in table.columns]
    _replace_tables(file, [_copy_rows(file, columns, [], {}, of=of) for of in dict.fromkeys(("raw", file.rows))])
    return replace(table, columns=tuple(columns))


def _copy_rows(file: ShapedFile, columns: Sequence[str], added: Sequence[str], made: Mapping[str, str], *, of: str) -> str:
    """Make ``shaped_raw`` or ``shaped_cleaned`` with the file's rows and what was made; return its name."""
    kinds = ", ".join(f"{quoted(name)} varchar" for name in (*columns, *added))
    file.execute(f"create or replace table shaped_{of} (_row bigint, {kinds})")
    kept = [
        f"rows.{quoted(raw)} as {quoted(name)}"
        for raw, name in zip(file.table.columns, columns, strict=True)
        if name not in made
    ]
    picks = ", ".join([*(f"shaped_ids.{value} as {quoted(name)}" for name, value in made.items()), *kept])
    by_rows(
        file.staging.connection,
        f"""insert into shaped_{of} by name select rows._row, {picks}
        from (from {of} where {{range}}) as rows left join shaped_ids on rows._row = shaped_ids._row""",
        of="raw",
    )
    return f"shaped_{of}"


def _replace_tables(file: ShapedFile, targets: Sequence[str]) -> None:
    """Put the tables that were made into the places of those that they were made of."""
    file.staging.drop_raw()
    for target in targets:
        name = target.removeprefix("shaped_")
        file.execute(f"drop table if exists {name}; alter table {target} rename to {name}")
    file.execute("drop table shaped_ids; drop table implied")


def _add_generated(file: ShapedFile, label: str, mark: str, targets: Sequence[str]) -> None:
    """Add the generated rows to the tables, without a line, and say how many they are."""
    dataset, first = file.staging.dataset, file.table.records + file.table.left_out + 1
    total, examples = file.examples("select id from implied order by first, level")
    if not total:
        return
    names = [f"id as {quoted(dataset.key)}", f"parent as {quoted(dataset.parent)}"]
    names += [f"label as {quoted(label)}"] if label else []
    names += [f"'true' as {quoted(mark)}"] if mark else []
    for target in targets:
        file.execute(
            f"""insert into {target} by name
            select $first - 1 + row_number() over (order by first, level, id) as _row, {", ".join(names)}
            from implied order by _row""",
            first=first,
        )
    file.staging.add_unnumbered_lines(first)
    file.staging.add_finding(
        "generated_records",
        f"{counted(total, 'record')} that the file implies but does not list {'was' if total == 1 else 'were'} generated:"
        f" {printable(examples)}.",
        severity="warning",
        hint="Add them to the file if they should have values of their own.",
    )


def _sources_of_ids(file: ShapedFile) -> tuple[str, ...]:
    """Return the columns that ids were made of, as the shape names them; none for positions, and for ids that rows have."""
    if file.own_id is not None or file.shape.kind not in ("levels", "path", "prefix"):
        return ()
    return tuple(file.said["columns"] if file.shape.kind == "levels" else (file.said["column"],))


def whole_number(text: str) -> str:
    """Return the SQL of a whole number, also as 1.0; null for any other text, which a cast alone would round."""
    return f"case when regexp_full_match({text}, '\\s*[+-]?[0-9]+([.]0*)?\\s*') then try_cast({text} as bigint) end"


def _free(name: str, taken: Sequence[str]) -> str:
    """Return the name, or a longer one if it is taken."""
    return name if name.casefold() not in {one.casefold() for one in taken} else _free(f"{name}_by_shape", taken)


def _is_plain(text: str) -> bool:
    return text.isascii() and (text == "" or text.isprintable())
