"""Finish the columns of ``raw`` once all rows are read: what only their values can tell, and what is to be reported.

Everything that is changed here is certain, and becomes one warning for the file.
"""

from __future__ import annotations

from dataclasses import replace

from pipeline.datasets.dataset import Dataset
from pipeline.display import listed
from pipeline.read import column_mapping, results_columns
from pipeline.read.column_mapping import INDEX, REPEATED, SKIPPED, as_mapping
from pipeline.read.raw_tables import RawTables
from pipeline.read.read_result import ReadResult
from pipeline.sqlfiles import literal, quoted

_INDEX_NAMES = ("Unnamed: 0", "__index_level_0__")
"""What data frames call a column that was an index without a name."""

_LISTED_MOST = 8


def settle_columns(table: ReadResult, staging: RawTables) -> ReadResult:
    """Leave out the columns that are to be skipped and an index; put repeated columns together. Raises Unreadable."""
    gone = {name for name in table.columns if name.startswith(SKIPPED)}
    gone |= _index_of(table, staging)
    of_results = results_columns.find(table, staging)
    gone |= of_results
    gone |= _merge_repeated(table, staging)
    originals = _numbered_originals(table, staging.dataset)
    table = replace(table, is_results=bool(of_results))
    if not gone:
        return replace(table, originals=originals) if originals != table.originals else table
    letters = table.letters or ("",) * len(table.columns)
    kept = [triple for triple in zip(table.columns, originals or table.columns, letters, strict=True) if triple[0] not in gone]
    staging.keep_only([name for name, _, _ in kept])
    names, originals, letters = zip(*kept, strict=True) if kept else ((), (), ())
    return replace(table, columns=names, originals=originals, letters=letters if table.letters else ())


def settle_values(table: ReadResult, staging: RawTables) -> ReadResult:
    """Read whole numbers that a data frame wrote as decimals, and text in a column that is called like that of the rest."""
    _read_whole_numbers(table, staging)
    return _rest_as_text(table, staging)


def report_matches(table: ReadResult, staging: RawTables) -> None:
    """Add one warning that names the columns that were matched loosely."""
    dataset = staging.dataset
    pairs = zip(table.originals or table.columns, table.columns, strict=True)
    matched = [
        f"{original!r} was read as {name}"
        for original, name in pairs
        if name in dataset.names and name != column_mapping.mapped_name(original, dataset) and name != original
    ]
    if matched:
        staging.note(
            "matched_columns",
            f"Columns were matched by their names: {listed(matched, _LISTED_MOST)}.",
            'If one is wrong, say what it is with mapping, for instance mapping={"Name": ""} to skip it.',
        )


# --- The columns themselves ---


def _index_of(table: ReadResult, staging: RawTables) -> set[str]:
    """Return the column with the index of a data frame, which numbers the rows from 0 or 1. Raises Unreadable for another
    column without a name.
    """
    called = dict(zip(table.columns, table.originals or table.columns, strict=True))
    found = set()
    for name in (name for name, original in called.items() if name == INDEX or original in _INDEX_NAMES):
        is_index = bool(table.records) and name not in staging.dataset.names and _numbers_rows(name, staging)
        if is_index:
            first = "The first column has no name" if name == INDEX else f"The column {called[name]!r} has no name of its own"
            staging.note(
                "index_column",
                f"{first} and numbers the rows, as the index of a data frame does. It was left out.",
                "Nothing has to be done. Without it: df.to_csv(..., index=False).",
            )
            found.add(name)
        elif name == INDEX:
            raise column_mapping.nameless(1, 1)
    return found


def _numbers_rows(name: str, staging: RawTables) -> bool:
    number = f"try_cast({quoted(name)} as bigint)"
    ((differ, low, high),) = staging.connection.execute(
        f"""select count(*) filter (where {number} is null or {quoted(name)} != {number}::varchar),
            min({number} - _row), max({number} - _row) from raw"""
    ).fetchall()
    return differ == 0 and low == high and low in (-1, 0)


def _merge_repeated(table: ReadResult, staging: RawTables) -> set[str]:
    """Put the values of repeated columns into the first of them, as a JSON array; return the others."""
    lists: dict[str, list[str]] = {}
    for name in table.columns:
        if name.startswith(REPEATED):
            lists.setdefault(name.removeprefix(REPEATED).partition(" ")[2], []).append(name)
    for name, others in lists.items():
        values = ", ".join(map(quoted, [name, *others]))
        given = f"list_filter([{values}], lambda value: value is not null and value != '')"
        staging.change_values(name, f"case when len({given}) > 0 then to_json({given})::varchar end")
    if lists:
        many = ", ".join(f"{name!r} ({len(others) + 1} times)" for name, others in list(lists.items())[:_LISTED_MOST])
        staging.note(
            "repeated_columns",
            f"Columns are repeated: {many}. Their values were kept as one list for each record.",
            f"To keep them apart: repeated_columns=number. To skip them: {as_mapping({next(iter(lists)): ''})}.",
        )
    return {other for others in lists.values() for other in others}


def _numbered_originals(table: ReadResult, dataset: Dataset) -> tuple[str, ...]:
    """Return the file's names, with those that repeat another one as they were numbered."""
    originals = table.originals
    if dataset.options.repeated_columns != "number":
        return originals
    return tuple(
        name if original in originals[:place] and not name.startswith((SKIPPED, REPEATED)) else original
        for place, (original, name) in enumerate(zip(originals, table.columns, strict=True))
    )


# --- Values ---

_DECIMAL = r"-?[0-9]+(\.0+|,0{1,2})"  # 1,000 may be a thousand


def _read_whole_numbers(table: ReadResult, staging: RawTables) -> None:
    """Take ``.0`` off all parents if no id has decimals, and off the ids too if all of them have it.

    Only if the first parent, or the first id, is written so is the whole column looked at.
    """
    key, parent = staging.dataset.key, staging.dataset.parent
    if key not in table.columns or parent not in table.columns or not table.records:
        return
    if not any(_first_is_decimal(name, staging) for name in (key, parent)):
        return
    ids, parents = _decimals(key, staging), _decimals(parent, staging)
    wanted = [parent] if parents == "all" and ids == "none" else [key, parent] if ids == "all" and parents != "other" else []
    wanted = [name for name in wanted if {key: ids, parent: parents}[name] == "all"]
    for name in wanted:
        staging.change_values(name, f"regexp_replace({quoted(name)}, '[.,]0+$', '')")
    if wanted:
        staging.note(
            "whole_numbers",
            f"Whole numbers were written as decimals in {' and '.join(wanted)}, and read without: 1.0 as 1.",
            "Data frames do this to a column with empty values. In pandas, use the type Int64 for it.",
        )


def _first_is_decimal(name: str, staging: RawTables) -> bool:
    first = f"select {quoted(name)} as value from raw where {quoted(name)} != '' limit 1"
    return (
        staging.connection.execute(
            f"select value from ({first}) where regexp_full_match(value, {literal(_DECIMAL)})"
        ).fetchall()
        != []
    )


def _decimals(name: str, staging: RawTables) -> str:
    """Return whether "all" values of a column are whole numbers with ``.0``, or "none" has decimals, or something "other"."""
    value = quoted(name)
    ((given, decimal, pointed),) = staging.connection.execute(
        f"""select count(*), count(*) filter (where regexp_full_match({value}, {literal(_DECIMAL)})),
            count(*) filter (where contains({value}, '.') or contains({value}, ',')) from raw where {value} != ''"""
    ).fetchall()
    if not pointed:
        return "none"
    return "all" if given == decimal else "other"


def _rest_as_text(table: ReadResult, staging: RawTables) -> ReadResult:
    """Rename a column that is called like that of the rest, if it has no JSON object: then it is an ordinary column."""
    rest = staging.dataset.rest
    if rest is None or rest not in table.columns or not table.records:
        return table
    bare = f"ltrim({quoted(rest)}, ' ' || chr(9) || chr(10) || chr(13))"
    ((given, objects),) = staging.connection.execute(
        f"select count(*), count(*) filter (where starts_with({bare}, '{{')) from raw where {quoted(rest)} != ''"
    ).fetchall()
    inner = f"{rest}.{rest}"
    if not given or objects or inner in table.columns:
        return table
    staging.rename_column(rest, inner)
    staging.note(
        "matched_columns",
        f"The column {rest!r} contains text, not JSON objects; its values were read as {inner}.",
        f"To give it another name, rename it in the file. To skip it: {as_mapping({rest: ''})}.",
    )
    columns = tuple(inner if name == rest else name for name in table.columns)
    return replace(table, columns=columns, originals=table.originals or table.columns)
