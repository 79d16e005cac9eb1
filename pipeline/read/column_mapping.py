"""Map the names that a file gives its columns to those of the dataset.

Every reader hands its file's names to ``raw_names`` and stores the result, so a suite's ``meta.mapping`` applies to all formats
alike. Names are compared exactly; only the suite's aliases and renames ignore case and surrounding space.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import get_close_matches

from pipeline.datasets.dataset import LINEAGE, Dataset, folded
from pipeline.datasets.shape_meta import Shape
from pipeline.errors import Unreadable
from pipeline.read.limits import Limits
from pipeline.read.shapes.suggest import shape_suggestion

SKIPPED = "\x01left out: "
"""Prefix of the name of a column that is read, and then removed."""


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
    """Return the name in ``raw`` of a file's column: by the upload's mapping, a rename, the dataset, an alias, else unchanged.

    A column to skip gets a name that no other can have, until it is removed.
    """
    if folded(name) in dataset.ignored:
        return f"{SKIPPED}{name}"
    if wished := dataset.wished.get(folded(name)):
        return wished
    return dataset.renamed.get(folded(name)) or (name if name in dataset.names else dataset.aliased.get(folded(name), name))


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
    names = tuple(mapped_name(original, dataset) for original in originals)
    seen: dict[str, int] = {}
    for position, (original, name) in enumerate(zip(originals, names, strict=True), 1):
        _check_name(original, name, position, dataset, line)
        first = seen.setdefault(name.casefold(), position)
        if first != position:
            raise _duplicate((originals[first - 1], first), (original, position), name, line)
    return names


def _check_name(original: str, name: str, position: int, dataset: Dataset, line: int | None) -> None:
    if name.startswith(SKIPPED):
        return
    if not original.strip():
        raise Unreadable(
            f"Column {position} has no name.",
            code="malformed_row",
            hint="Give every column a name, or take the extra delimiter off the end of the header.",
            line=line,
        )
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


def _duplicate(one: tuple[str, int], other: tuple[str, int], name: str, line: int | None) -> Unreadable:
    """Return the error about two columns, (name in the file, position) each, that would become one."""
    (first, at), (second, place) = one, other
    if first == second:
        same = f"The column {first!r} appears twice"
    elif first.casefold() == second.casefold():
        same = f"{first!r} and {second!r} differ in case only"
    else:
        same = f"{first!r} and {second!r} would both be the column {name}"
    return Unreadable(
        f"{same} (columns {at} and {place}).",
        code="duplicate_column",
        hint="Keep one of them, or give them different names.",
        line=line,
    )


def missing_columns(names: Sequence[str], dataset: Dataset, originals: Sequence[str] = ()) -> Unreadable | None:
    """Return the error about required columns that are missing, or None. ``originals`` are the file's own names."""
    lacking = [name for name in required(dataset) if name not in names]
    if not lacking:
        return None
    originals = originals or names
    guesses = {name: _guess(name, names, originals, dataset) for name in lacking}
    meant = [f"Did you mean to call {guess!r} {name!r}?" for name, guess in guesses.items() if guess]
    hint = " ".join(meant) or f"The dataset {dataset.name} needs: {', '.join(required(dataset))}."
    if dataset.parent in lacking and dataset.shape == Shape():
        hint = f"{hint} {shape_suggestion(originals)}".strip()
    return Unreadable(
        f"The file lacks the column{'s' * (len(lacking) > 1)} {', '.join(lacking)}. It has: {_listed(originals)}.",
        code="missing_column",
        hint=hint,
        line=1,
    )


def is_unknown(name: str, dataset: Dataset) -> bool:
    """Return whether the dataset has no place for this column."""
    if dataset.rest is not None or name in dataset.names or name.startswith(SKIPPED):
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
    names = [mapped_name(original, dataset) for original in originals]
    wanted = required(dataset) if dataset.rest else dataset.names
    lacking = [name for name in wanted if name not in names]
    guesses = {_guess(name, names, originals, dataset): name for name in reversed(lacking)}
    return {original: name for original, name in guesses.items() if original}


def display_name(name: str, original: str) -> str:
    """Return a column's name for messages: with the file's own name, if that is different."""
    return name if name == original else f"{name} (the file's {original})"


def looks_like_data(names: Sequence[str], dataset: Dataset) -> bool:
    """Return whether the header seems to be missing: no name is like the dataset's, and some cannot be names."""
    if any(_nearest(name, [*dataset.names, *_aliases(dataset)]) for name in names):
        return False
    return any(not name.strip() or name.strip()[:1].isdigit() for name in names)


def _guess(wanted: str, names: Sequence[str], originals: Sequence[str], dataset: Dataset) -> str:
    """Return the file's column that was probably meant to be ``wanted``, or an empty string."""
    free = [original for name, original in zip(names, originals, strict=True) if name not in dataset.names]
    known = (wanted, *dataset.mapping.aliases.get(wanted, ()))
    return next((close for name in known if (close := _nearest(name, free))), "")


def _aliases(dataset: Dataset) -> list[str]:
    return [alias for aliases in dataset.mapping.aliases.values() for alias in aliases]


def _nearest(wanted: str, names: Sequence[str]) -> str:
    by_shape = {_shape(name): name for name in reversed(names)}
    close = get_close_matches(_shape(wanted), list(by_shape), n=1, cutoff=0.75)
    return by_shape[close[0]] if close and close[0] else ""


def _shape(name: str) -> str:
    return re.sub(r"[\W_]", "", name).casefold()


def _listed(names: Sequence[str], most: int = 20) -> str:
    shown = ", ".join(name[:60] for name in names[:most])
    return f"{shown} and {len(names) - most:,} more" if len(names) > most else shown
