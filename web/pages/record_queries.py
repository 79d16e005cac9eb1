"""SQL for what the pages of records show, to open on the SQL page. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.datasets.dataset import Dataset
from pipeline.datasets.search_columns import CHARACTERS_INDEXED
from pipeline.sqlfiles import literal, quoted

ROWS = 50


def level_sql(dataset: Dataset, parent: str | None, columns: Sequence[str] = ()) -> str:
    """Return a query for the roots, or for the children of a record, with these columns."""
    where = f"{quoted(dataset.parent)} is null" if parent is None else f"{quoted(dataset.parent)} = {literal(parent)}"
    return _select(dataset, columns, where)


def record_sql(dataset: Dataset, record_id: str) -> str:
    """Return a query for one record with all its columns."""
    return f"select *\nfrom {quoted(dataset.name)}\nwhere {quoted(dataset.key)} = {literal(record_id)}"


def search_sql(dataset: Dataset, wanted: str, columns: Sequence[str], searched: Sequence[str]) -> str:
    """Return a query for the records that a search finds; its conditions use the indexes of the search."""
    low = literal(wanted[:CHARACTERS_INDEXED])
    tests = [f"{quoted(dataset.key)} = {literal(wanted)}"]
    for name in searched:
        begin = f'lower(left({quoted(name)}, {CHARACTERS_INDEXED})) collate "C"'
        tests.append(f"({begin} >= lower({low}) and {begin} < lower({low}) || chr(1114111))")
    return _select(dataset, [*searched, *columns], "\n   or ".join(tests))


def findings_sql(dataset: str, record_id: str) -> str:
    """Return a query for the findings with this ID. They have no index by ID, so it runs within the limits of the SQL page."""
    return (
        "select imported_at, filename, row, code, message\nfrom import_findings\n"
        f"where dataset = {literal(dataset)} and id = {literal(record_id)}\norder by imported_at desc\nlimit 100"
    )


def _select(dataset: Dataset, columns: Sequence[str], where: str) -> str:
    names = dict.fromkeys([dataset.key, dataset.parent, *columns])
    shown = ", ".join(map(quoted, names))
    return f"select {shown}\nfrom {quoted(dataset.name)}\nwhere {where}\norder by {quoted(dataset.key)}\nlimit {ROWS}"
