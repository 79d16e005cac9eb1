"""Map the names that a file gives its columns to those of the dataset.

Every reader hands its file's names to ``raw_names`` and stores the result, so a suite's ``meta.mapping`` applies to all formats
alike. What an upload maps, exact names, renames and aliases are certain. Any other name is compared loosely (without regard to
case, spaces, hyphens and underscores) with the columns that are still open; file_columns.py reports what was matched so, and
missing_columns.py says what may be done about columns that are missing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from pipeline.datasets.column_forms import folded, loose_form
from pipeline.datasets.dataset import Dataset
from pipeline.datasets.table import LINEAGE
from pipeline.errors import Unreadable
from pipeline.read.limits import Limits

SKIPPED = "\x01left out: "
"""Prefix of the name of a column that is read, and then removed."""

REPEATED = "\x02repeated: "
"""Prefix of the name of a column that is read, and then put into the list of the column whose name it repeats."""

OUTLINE_LEVEL = "\x02outline level"
"""Name of the column with the levels of a sheet's rows, which a shape makes ids and parents of, and then removes."""

INDEX = "\x02index"
"""Name of a first column without a name, which may be the index of a data frame; file_columns.py looks at its values."""


def required(dataset: Dataset) -> list[str]:
    """Return the columns that a file must have: the key, the parent, and those that may not be empty and have no default.

    Where ids are paths there is no column for the parent, and there may be none where the suite says ``parent_optional``. Where
    a shape makes ids, parents or names of other columns, it needs those.
    """
    shape = dataset.shape
    is_flat = bool(dataset.suite.get("meta", {}).get("parent_optional"))
    parent = [] if shape.path_separator or shape.kind or is_flat else [dataset.parent]
    key = [] if shape.gives_ids else [dataset.key]
    made = {*([dataset.key] if shape.gives_ids else []), *([dataset.parent] if shape.kind else []), shape.label(dataset.names)}
    own = [column.name for column in dataset.columns if column.required and column.name not in made]
    names = [*key, *parent, *own]
    names = [name for name in dict.fromkeys(names) if name != dataset.rest and name not in dataset.mapping.defaults]
    return [*names, *(name for name in shape_columns(dataset).values() if name not in names)]


def shape_columns(dataset: Dataset) -> dict[str, str]:
    """Return the columns that the dataset's shape names, as it names them, with their names in ``raw``."""
    return {name: mapped_name(name, dataset) for name in dataset.shape.columns}


def mapped_name(name: str, dataset: Dataset) -> str:
    """Return the certain name in ``raw`` of a file's column: by the upload's mapping, a rename, an alias, else unchanged.

    A column to skip gets a name that no other can have, until it is removed.
    """
    if folded(name) in dataset.ignored:
        return f"{SKIPPED}{name}"
    if wished := dataset.wished.get(folded(name)):
        return wished
    return dataset.renamed.get(folded(name)) or (name if name in dataset.names else dataset.aliased.get(folded(name), name))


def mapped_names(originals: Sequence[str], dataset: Dataset) -> tuple[str, ...]:
    """Return the names in ``raw`` of all columns of a file; a loose match yields to a certain one."""
    names = [mapped_name(original, dataset) for original in originals]
    loose: dict[str, list[int]] = {}
    for place, (original, name) in enumerate(zip(originals, names, strict=True)):
        if name == original and name not in dataset.names and (column := dataset.by_form.get(loose_form(name))):
            loose.setdefault(column, []).append(place)
    certain = set(names)
    for column, places in loose.items():
        for place in _matched(column, places, originals, dataset, is_taken=column in certain):
            names[place] = column
    return tuple(names)


def _matched(column: str, places: list[int], originals: Sequence[str], dataset: Dataset, *, is_taken: bool) -> list[int]:
    """Return which of the loose matches become the column; several, which are refused later, if it is not known which."""
    if is_taken:
        return [] if dataset.rest else places
    same = [place for place in places if folded(originals[place]) == folded(column)]
    if len(places) == 1 or len({originals[place] for place in places}) == 1:
        return places
    if len(same) == 1:
        return same
    return places if column in required(dataset) else []


def raw_names(originals: Sequence[str], dataset: Dataset, limits: Limits, *, line: int | None = None) -> tuple[str, ...]:
    """Return the names for ``raw``, one for each of a file's ``originals``, in their order. For all formats.

    Raises Unreadable for empty or reserved names, for names that differ in case only, and for two columns that would both
    become the same one.
    """
    if len(originals) > limits.columns:
        raise Unreadable(
            f"The file has {len(originals):,} columns; at most {limits.columns:,} can be read.",
            code="too_many_columns",
            hint="Leave out the columns that the dataset does not need.",
            line=line,
        )
    mapped = mapped_names(originals, dataset)
    taken = {name.casefold() for name in mapped}
    names: list[str] = []
    seen: dict[str, int] = {}
    for position, (original, name) in enumerate(zip(originals, mapped, strict=True), 1):
        if name.startswith(SKIPPED):
            names.append(f"{name} ({position})")
            continue
        if position == 1 and not original.strip() and name == original:
            names.append(INDEX)
            continue
        _check_name(original, name, position, dataset, line)
        first = seen.setdefault(name.casefold(), position)
        if first != position:
            name = _repeated_name(name, (originals[first - 1], first), (original, position), dataset, taken, line)
        names.append(name)
    return tuple(names)


def _repeated_name(
    name: str, one: tuple[str, int], other: tuple[str, int], dataset: Dataset, taken: set[str], line: int | None
) -> str:
    """Return the name of a column that has the same name as one before. Raises Unreadable if one of them has to go.

    By default only a column of the rest may be repeated, by exactly the same name: its values are kept as a list.
    """
    wish = dataset.options.repeated_columns
    is_same = one[0] == other[0] if wish is None else folded(one[0]) == folded(other[0])
    is_in_rest = dataset.rest is not None and name not in (*dataset.names, dataset.key, dataset.parent)
    if is_same and wish == "number":
        numbered = next(new for number in range(2, 10_000) if (new := f"{name} {number}").casefold() not in taken)
        taken.add(numbered.casefold())
        return numbered
    if is_same and (is_in_rest or (wish == "list" and name not in (dataset.key, dataset.parent))):
        return f"{REPEATED}{other[1]} {name}"
    raise _duplicate(one, other, name, line)


def _check_name(original: str, name: str, position: int, dataset: Dataset, line: int | None) -> None:
    if not name.strip():
        raise nameless(position, line)
    if "\0" in original:
        raise Unreadable(f"The name of column {position} contains a NUL character.", code="invalid_character", line=line)
    if name.casefold() in LINEAGE:
        raise Unreadable(
            f"The column {original!r} has a name that is reserved for Bulkhead ({', '.join(LINEAGE)}).",
            code="unknown_column",
            hint="Remove the column, or give it another name.",
            line=line,
        )
    if dataset.shape.path_separator and name == dataset.parent:
        raise Unreadable(
            f"The file has a column {display_name(name, original)}, but in {dataset.name} the parent follows from the id.",
            code="duplicate_column",
            hint=f"Remove the column: the parent is the part of the id before the last {dataset.shape.path_separator!r}.",
            line=line,
        )


def nameless(position: int, line: int | None) -> Unreadable:
    """Return the error about a column without a name."""
    return Unreadable(
        f"Column {position} has no name.",
        code="malformed_row",
        hint="Give every column a name, or take the extra delimiter off the end of the header."
        f" To leave out the columns without a name: {as_mapping({'': ''})}.",
        line=line,
    )


def _duplicate(one: tuple[str, int], other: tuple[str, int], name: str, line: int | None) -> Unreadable:
    """Return the error about two columns, (name in the file, position) each, that would become one."""
    (first, at), (second, place) = one, other
    if first == second:
        same = f"The column {first!r} appears twice"
        hint = (
            "Keep one of them, or give them different names. To keep both:"
            f' repeated_columns=number (the second becomes "{name} 2") or repeated_columns=list.'
        )
    elif first.casefold() == second.casefold():
        same = f"{first!r} and {second!r} differ in case only"
        hint = "Keep one of them, or give them different names. To keep both: repeated_columns=number."
    else:
        same = f"{first!r} and {second!r} would both be the column {name}"
        hint = f"Keep one of them, or give them different names. To skip the second: {as_mapping({second: ''})}."
    return Unreadable(f"{same} (columns {at} and {place}).", code="duplicate_column", hint=hint, line=line)


def as_mapping(pairs: Mapping[str, str]) -> str:
    """Return the option that maps columns, as hints show it."""
    return f"mapping={json.dumps(pairs, ensure_ascii=False)}"


def is_unknown(name: str, dataset: Dataset) -> bool:
    """Return whether the dataset has no place for this column."""
    if dataset.rest is not None or name in dataset.names or name.startswith((SKIPPED, REPEATED, INDEX, OUTLINE_LEVEL)):
        return False
    return name not in shape_columns(dataset).values()


def unmatched_mappings(originals: Sequence[str], dataset: Dataset) -> list[str]:
    """Return the columns that the upload maps and the file does not have."""
    present = set(map(folded, originals))
    return [name for name, _ in dataset.asked if folded(name) not in present]


def display_name(name: str, original: str) -> str:
    """Return a column's name for messages: with the file's own name, if that is different."""
    return name if name == original else f"{name} (the file's {original})"
