"""The names a file gives its columns, and those its dataset knows them by.

Every reader hands its file's names to ``named`` and stores what comes back: so what a suite says in ``meta.mapping`` holds for
all formats alike. Names are taken as they are; only the suite's aliases and renames are compared without case and outer space.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import get_close_matches

from pipeline.datasets.dataset import LINEAGE, Dataset, folded
from pipeline.errors import Unreadable
from pipeline.read.limits import Limits

LEFT_OUT = "\x01left out: "
"""Before the name of a column that is read, and then left out."""


def required(dataset: Dataset) -> list[str]:
    """The columns a file must have: the key, the parent, and those that may not be empty and have no default.

    Where ids are paths there is no column of parents.
    """
    parent = [] if dataset.shape.path_separator else [dataset.parent]
    names = [dataset.key, *parent, *(column.name for column in dataset.columns if column.required)]
    return [name for name in dict.fromkeys(names) if name != dataset.rest and name not in dataset.mapping.defaults]


def mapped(name: str, dataset: Dataset) -> str:
    """The name under which ``raw`` keeps a file's column: as the upload says, renamed, the dataset's own, an alias's, as it is.

    One that is to be left out has a name that no other can have, until it goes.
    """
    if folded(name) in dataset.ignored:
        return f"{LEFT_OUT}{name}"
    if wished := dataset.wished.get(folded(name)):
        return wished
    return dataset.renamed.get(folded(name)) or (name if name in dataset.names else dataset.aliased.get(folded(name), name))


def named(originals: Sequence[str], dataset: Dataset, limits: Limits, *, line: int | None = None) -> tuple[str, ...]:
    """The names for ``raw``, one for each of a file's ``originals``, in their order.

    For all formats. Raises Unreadable for names that are none, that could be taken for one another or for ours, and for two
    columns that would both become the same one.
    """
    if len(originals) > limits.columns:
        raise Unreadable(
            f"The file has {len(originals):,} columns; at most {limits.columns:,} can be read.",
            code="too_many_columns",
            hint="Leave out the columns that the dataset does not need.",
            line=line,
        )
    names = tuple(mapped(original, dataset) for original in originals)
    seen: dict[str, int] = {}
    for position, (original, name) in enumerate(zip(originals, names, strict=True), 1):
        _check_name(original, name, position, dataset, line)
        first = seen.setdefault(name.casefold(), position)
        if first != position:
            raise _same((originals[first - 1], first), (original, position), name, line)
    return names


def _check_name(original: str, name: str, position: int, dataset: Dataset, line: int | None) -> None:
    if name.startswith(LEFT_OUT):
        return
    if not original.strip():
        raise Unreadable(
            f"Column {position} has no name.",
            code="malformed_row",
            hint="Give every column a name, or take the extra delimiter off the end of the header.",
            line=line,
        )
    if "\0" in original:
        raise Unreadable(f"The name of column {position} holds a NUL character.", code="invalid_character", line=line)
    if name.casefold() in LINEAGE:
        raise Unreadable(
            f"The column {original!r} bears a name that Bulkhead keeps for itself ({', '.join(LINEAGE)}).",
            code="unknown_column",
            hint="Leave the column out, or give it another name.",
            line=line,
        )
    if dataset.shape.path_separator and name == dataset.parent:
        raise Unreadable(
            f"The file has a column {spoken(name, original)}, but in {dataset.name} the parent follows from the id.",
            code="duplicate_column",
            hint=f"Leave the column out: the parent is what stands before the last {dataset.shape.path_separator!r} of the id.",
            line=line,
        )


def _same(one: tuple[str, int], other: tuple[str, int], name: str, line: int | None) -> Unreadable:
    """The refusal of two columns, (name in the file, position) each, that would be one."""
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


def missing(names: Sequence[str], dataset: Dataset, originals: Sequence[str] = ()) -> Unreadable | None:
    """The refusal of a file that lacks required columns; None if it has them all. ``originals`` are the file's own names."""
    lacking = [name for name in required(dataset) if name not in names]
    if not lacking:
        return None
    originals = originals or names
    guesses = {name: _guess(name, names, originals, dataset) for name in lacking}
    meant = [f"Did you mean to call {guess!r} {name!r}?" for name, guess in guesses.items() if guess]
    return Unreadable(
        f"The file lacks the column{'s' * (len(lacking) > 1)} {', '.join(lacking)}. It has: {_listed(originals)}.",
        code="missing_column",
        hint=" ".join(meant) or f"The dataset {dataset.name} needs: {', '.join(required(dataset))}.",
        line=1,
    )


def is_unknown(name: str, dataset: Dataset) -> bool:
    """The dataset has no place for this column."""
    return dataset.rest is None and name not in dataset.names and not name.startswith(LEFT_OUT)


def unknown_message(name: str, dataset: Dataset, original: str = "") -> tuple[str, str]:
    """Message and hint for a column the dataset does not have."""
    close = _nearest(name, [*dataset.names, *_aliases(dataset)])
    hint = f"Did you mean {close!r}?" if close else "Leave the column out, or upload to a dataset that takes it."
    called = spoken(repr(name), repr(original or name))
    return f"The dataset {dataset.name} has no column {called}. It has: {', '.join(dataset.names)}.", hint


def unmet(originals: Sequence[str], dataset: Dataset) -> list[str]:
    """The columns that the upload maps, and that the file does not have."""
    there = set(map(folded, originals))
    return [name for name, _ in dataset.asked if folded(name) not in there]


def probable(originals: Sequence[str], dataset: Dataset) -> dict[str, str]:
    """What a file's columns probably mean whose names nobody knows, where as they are the file would be refused."""
    names = [mapped(original, dataset) for original in originals]
    wanted = required(dataset) if dataset.rest else dataset.names
    lacking = [name for name in wanted if name not in names]
    guesses = {_guess(name, names, originals, dataset): name for name in reversed(lacking)}
    return {original: name for original, name in guesses.items() if original}


def spoken(name: str, original: str) -> str:
    """A column as messages name it: with the name that the file gives it, where that is another."""
    return name if name == original else f"{name} (the file's {original})"


def looks_like_data(names: Sequence[str], dataset: Dataset) -> bool:
    """No name is like any of the dataset's, and some cannot be a name: the header was forgotten."""
    if any(_nearest(name, [*dataset.names, *_aliases(dataset)]) for name in names):
        return False
    return any(not name.strip() or name.strip()[:1].isdigit() for name in names)


def _guess(wanted: str, names: Sequence[str], originals: Sequence[str], dataset: Dataset) -> str:
    """The file's column that was probably meant by ``wanted``; empty if none."""
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
