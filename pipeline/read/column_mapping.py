"""Map the names that a file gives its columns to those of the dataset.

Every reader hands its file's names to ``raw_names`` and stores the result, so a suite's ``meta.mapping`` applies to all formats
alike. What an upload maps, exact names, renames and aliases are certain. Any other name is compared loosely (without regard to
case, spaces, hyphens and underscores) with the columns that are still open; file_columns.py reports what was matched so.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches

from pipeline.datasets.column_forms import folded, loose_form
from pipeline.datasets.dataset import Dataset
from pipeline.datasets.shape_meta import Shape
from pipeline.datasets.table import LINEAGE
from pipeline.errors import Unreadable
from pipeline.read import foreign_names
from pipeline.read.limits import Limits
from pipeline.read.shapes.suggest import shape_suggestion

_LEVELS_MOST = 8

SKIPPED = "\x01left out: "
"""Prefix of the name of a column that is read, and then removed."""

REPEATED = "\x02repeated: "
"""Prefix of the name of a column that is read, and then put into the list of the column whose name it repeats."""

INDEX = "\x02index"
"""Name of a first column without a name, which may be the index of a data frame; file_columns.py looks at its values."""


def required(dataset: Dataset) -> list[str]:
    """Return the columns that a file must have: the key, the parent, and those that may not be empty and have no default.

    Where ids are paths there is no column for the parent. Where a shape makes ids, parents or names of other columns, it needs
    those.
    """
    shape = dataset.shape
    parent = [] if shape.path_separator or shape.kind else [dataset.parent]
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


def missing_columns(names: Sequence[str], dataset: Dataset, originals: Sequence[str] = (), more: str = "") -> Unreadable | None:
    """Return the error about required columns that are missing, or None. ``originals`` are the file's own names.

    ``more`` is what else the format's reader knows to do about it.
    """
    lacking = [name for name in required(dataset) if name not in names]
    if not lacking:
        return None
    originals = originals or names
    hint = " ".join(filter(None, (*_hints(lacking, names, originals, dataset, more), more)))
    return Unreadable(
        f"The file lacks the column{'s' * (len(lacking) > 1)} {', '.join(lacking)}. It has: {_listed(originals)}.",
        code="missing_column",
        hint=hint
        or f"The dataset {dataset.name} needs: {', '.join(required(dataset))}.{_other_shape(lacking, originals, dataset)}",
        line=1,
    )


def _hints(lacking: list[str], names: Sequence[str], originals: Sequence[str], dataset: Dataset, more: str) -> Iterator[str]:
    """Yield what may be done about missing columns beside ``more``: names probably meant, the mapping to use, a shape."""
    free = _free(names, originals, dataset)
    guesses = {name: _guess(name, free, dataset) for name in lacking}
    yield from (f"Did you mean to call {guess!r} {name!r}?" for name, guess in guesses.items() if guess)
    probable = _probable(lacking, free, dataset)
    if probable:
        yield (
            f"If so: {as_mapping(probable)}." if any(guesses.values()) else f"To read them as they are: {as_mapping(probable)}."
        )
    is_open = dataset.parent in lacking and dataset.parent not in probable.values() and dataset.shape == Shape()
    if is_open and "shape=" not in more:
        yield shape_suggestion(originals)


def _other_shape(lacking: Sequence[str], originals: Sequence[str], dataset: Dataset) -> str:
    """Return how to say that each column is a level, for a file without ids and parents; an empty text for another."""
    if {dataset.key, dataset.parent} - set(lacking) or not 2 <= len(originals) <= _LEVELS_MOST or dataset.shape != Shape():
        return ""
    said = json.dumps({"kind": "levels", "columns": list(originals)}, ensure_ascii=False)
    return f" If each column is a level of the hierarchy: shape={said}."


def _probable(lacking: Sequence[str], free: Sequence[str], dataset: Dataset) -> dict[str, str]:
    """Return what the free columns of a file probably mean: by a similar name, or by one that other software uses."""
    known = foreign_names.known_pair(free)
    found: dict[str, str] = {}
    for name in lacking:
        other = known[name == dataset.parent] if name in (dataset.key, dataset.parent) else ""
        meant = _guess(name, free, dataset) or other
        if meant and meant not in found:
            found[meant] = name
    return found


def is_unknown(name: str, dataset: Dataset) -> bool:
    """Return whether the dataset has no place for this column."""
    if dataset.rest is not None or name in dataset.names or name.startswith((SKIPPED, REPEATED, INDEX)):
        return False
    return name not in shape_columns(dataset).values()


def unknown_message(name: str, dataset: Dataset, original: str = "") -> tuple[str, str]:
    """Return message and hint for a column that the dataset does not have."""
    close = _nearest(name, [*dataset.names, *_aliases(dataset)])
    hint = f"Did you mean {close!r}?" if close else "Remove the column, or upload to a dataset that has it."
    called = display_name(repr(name), repr(original or name))
    return f"The dataset {dataset.name} has no column {called}. It has: {', '.join(dataset.names)}.", hint


def unmatched_mappings(originals: Sequence[str], dataset: Dataset) -> list[str]:
    """Return the columns that the upload maps and the file does not have."""
    present = set(map(folded, originals))
    return [name for name, _ in dataset.asked if folded(name) not in present]


def probable_columns(originals: Sequence[str], dataset: Dataset) -> dict[str, str]:
    """Return what columns with unknown names probably mean, for the columns that the file would be refused without."""
    names = mapped_names(originals, dataset)
    wanted = required(dataset) if dataset.rest else dataset.names
    lacking = [name for name in wanted if name not in names]
    return _probable(lacking, _free(names, originals, dataset), dataset)


def display_name(name: str, original: str) -> str:
    """Return a column's name for messages: with the file's own name, if that is different."""
    return name if name == original else f"{name} (the file's {original})"


def looks_like_data(names: Sequence[str], dataset: Dataset) -> bool:
    """Return whether the header seems to be missing: no name is like the dataset's, and some cannot be names."""
    if any(_nearest(name, [*dataset.names, *_aliases(dataset)]) for name in names) or any(foreign_names.known_pair(names)):
        return False
    return any(not name.strip() or name.strip()[:1].isdigit() for name in names)


def _free(names: Sequence[str], originals: Sequence[str], dataset: Dataset) -> list[str]:
    """Return the file's columns that are not columns of the dataset yet."""
    pairs = zip(names, originals, strict=True)
    return [original for name, original in pairs if name not in dataset.names and not name.startswith(SKIPPED)]


def _guess(wanted: str, free: Sequence[str], dataset: Dataset) -> str:
    """Return the file's column that was probably meant to be ``wanted``, or an empty string."""
    known = (wanted, *dataset.mapping.aliases.get(wanted, ()))
    return next((close for name in known if (close := _nearest(name, free))), "")


def _aliases(dataset: Dataset) -> list[str]:
    return [alias for aliases in dataset.mapping.aliases.values() for alias in aliases]


def _nearest(wanted: str, names: Sequence[str]) -> str:
    by_shape = {foreign_names.letters_of(name): name for name in reversed(names)}
    close = get_close_matches(foreign_names.letters_of(wanted), list(by_shape), n=1, cutoff=0.75)
    return by_shape[close[0]] if close and close[0] else ""


def _listed(names: Sequence[str], most: int = 20) -> str:
    shown = ", ".join(name[:60] for name in names[:most])
    return f"{shown} and {len(names) - most:,} more" if len(names) > most else shown
