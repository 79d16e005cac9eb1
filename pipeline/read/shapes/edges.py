"""Edges: an archive with one file of nodes and one of edges, each of which names a node and its parent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from pipeline.contracts.options import ReadOptions
from pipeline.datasets.upload_rules import cleaning_of
from pipeline.errors import Unreadable
from pipeline.read.raw_tables import RawTables, printable
from pipeline.read.read_result import ReadResult
from pipeline.read.shapes.shaped_rows import ShapedFile, store
from pipeline.sqlfiles import quoted
from pipeline.staging.cleaning import Columns, clean_rows

_OF_THE_FILE = ("findings", "malformed", "lines")


class EdgeFile:
    """The archive's file of edges, on its way into the tables ``edge_rows`` and ``edge_lines``."""

    def __init__(self, staging: RawTables, names: Sequence[str]) -> None:
        """Raises Unreadable if the archive has no such file, or nothing else."""
        self._staging = staging
        wanted = str(staging.dataset.shape.said["file"])
        exact = [name for name in names if name == wanted]
        alike = exact or [name for name in names if _base(name) == _base(wanted)]
        if len(alike) != 1 or len(names) < 2:
            shown = ", ".join(printable(name) for name in names[:10] if name) or "only one file"
            raise Unreadable(
                f"A ZIP archive with a file of nodes and the file of edges {wanted} is needed; this one has: {shown}.",
                code="missing_file",
                hint='Put both into one archive, or correct the name: "file" in the shape.',
            )
        self._name = alike[0]

    def is_named(self, name: str) -> bool:
        """Return whether this is the file of edges."""
        return name == self._name

    def read(self, name: str, read_one: Callable[[], object]) -> None:
        """Read the file by ``read_one``, which fills ``raw``; put its findings down as such of the archive."""
        staging, connection = self._staging, self._staging.connection
        staging.flush()
        seen = {table: self._next_row(table) for table in _OF_THE_FILE}
        dataset, said = staging.dataset, staging.dataset.shape.said
        child, parent = str(said["id"]), str(said["parent"])
        staging.dataset = replace(
            dataset,
            columns=(),
            key=child,
            parent=parent,
            rest="-",
            asked=(),
            ignored=frozenset(),
            suite={"name": dataset.name, "meta": {}},
            options=ReadOptions(),
        )
        try:
            read_one()
        except Unreadable as error:
            error.args = (f"In {printable(name)}: {error}",)
            if error.code == "missing_column":
                error.hint = 'Correct "id" and "parent" in the shape: they are columns of this file, spelt as it does.'
            raise
        finally:
            staging.dataset = dataset
        staging.flush()
        connection.execute(
            """update findings set message = 'In ' || $name || ', record ' || row || ': ' || message, row = null, line = null
            where rowid >= $seen and row is not null""",
            {"name": printable(name), "seen": seen["findings"]},
        )
        connection.execute(f"create temp table edge_lines as from lines where rowid >= {seen['lines']}")
        for table in ("malformed", "lines"):
            connection.execute(f"delete from {table} where rowid >= {seen[table]}")
        rows = "raw"
        if cleaning_of(dataset).rules:
            rows, ids = "cleaned_edges", (child, parent)
            clean_rows(connection, dataset, Columns(as_key=ids, only=ids), to=rows)
        connection.execute(
            f"""create temp table edge_rows as
            select _row, nullif({quoted(child)}, '') as child, nullif({quoted(parent)}, '') as parent from {rows}"""
        )
        connection.execute("drop table if exists cleaned_edges")
        staging.drop_raw()

    def _next_row(self, table: str) -> int:
        ((after,),) = self._staging.connection.execute(f"select coalesce(max(rowid) + 1, 0) from {table}").fetchall()
        return int(after)


def is_same_file(name: str, wanted: str) -> bool:
    """Return whether a file of an archive is the wanted one, in whatever folder."""
    return name == wanted or _base(name) == _base(wanted)


def _base(name: str) -> str:
    return name.replace("\\", "/").rpartition("/")[2].casefold()


_NAMED = """
create or replace temp table edge_parents as
select child, min_by(parent, _row) as parent, count(distinct parent) as parents
from edge_rows where child is not null group by child
"""


def shape_edges(file: ShapedFile) -> ReadResult:
    """Make parents of the edges. A node with two parents is a finding; so are edges of nodes that are not there."""
    key = quoted(file.staging.dataset.key)
    file.execute(_NAMED)
    name = printable(str(file.said["file"]))
    file.find(
        f"""with several as (
            select child, string_agg(said, ' and ' order by first) as said from (
                select child, left(parent, 60) || coalesce(' (line ' || min(first_line + _row - first_row) || ')', '') as said,
                    min(_row) as first
                from (from edge_rows semi join (select child from edge_parents where parents > 1) using (child)) as e
                asof left join edge_lines on _row >= first_row where parent is not null group by child, parent
            ) group by child
        )
        select _row, child as value, {_quoted_text(name)} || ' names several parents: ' || left(said, 300) || '.' as message
        from {file.rows} join several on {key} = child""",
        code="several_parents",
        hint="A record has one parent: remove the other edges.",
    )
    unknown, examples = file.examples(
        f"""select coalesce(child, '(none)') from (
            select child, min(_row) as first from edge_rows anti join {file.rows} on child = {key} group by child
        ) order by first"""
    )
    if unknown:
        file.staging.add_finding(
            "unknown_node",
            f"{name} names {unknown:,} {'child that is no node' if unknown == 1 else 'children that are no nodes'}:"
            f" {printable(examples)}.",
            hint="Add the nodes, or remove the edges.",
        )
    file.execute(
        f"""insert into shaped_ids by name select _row, nullif({key}, '') as id, edge_parents.parent, null as label
        from {file.rows} left join edge_parents on {key} = child"""
    )
    file.execute("drop table edge_parents; drop table edge_rows; drop table edge_lines")
    return store(file, "")


def _quoted_text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
