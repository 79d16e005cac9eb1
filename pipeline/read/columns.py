"""The names a file gives its columns, against those its dataset has."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import get_close_matches

from pipeline.datasets import LINEAGE, Dataset
from pipeline.errors import Unreadable
from pipeline.read.limits import Limits


def required(dataset: Dataset) -> list[str]:
    """The columns a file must have: the key, the parent, and those that may not be empty."""
    names = [dataset.key, dataset.parent, *(column.name for column in dataset.columns if column.required)]
    return [name for name in dict.fromkeys(names) if name != dataset.rest]


def check_names(names: Sequence[str], dataset: Dataset, limits: Limits, *, line: int | None = None) -> None:
    """Refuse names that could be taken for one another or for ours. Raises Unreadable."""
    if len(names) > limits.columns:
        raise Unreadable(
            f"The file has {len(names):,} columns; at most {limits.columns:,} can be read.",
            code="too_many_columns",
            hint="Leave out the columns that the dataset does not need.",
            line=line,
        )
    seen: dict[str, int] = {}
    for position, name in enumerate(names, 1):
        if not name.strip():
            raise Unreadable(
                f"Column {position} has no name.",
                code="malformed_row",
                hint="Give every column a name, or take the extra delimiter off the end of the header.",
                line=line,
            )
        if "\0" in name:
            raise Unreadable(f"The name of column {position} holds a NUL character.", code="invalid_character", line=line)
        if name.casefold() in LINEAGE:
            raise Unreadable(
                f"The column {name!r} bears a name that Bulkhead keeps for itself ({', '.join(LINEAGE)}).",
                code="unknown_column",
                hint="Leave the column out, or give it another name.",
                line=line,
            )
        first = seen.setdefault(name.casefold(), position)
        if first != position:
            other = names[first - 1]
            same = f"The column {name!r} appears twice" if other == name else f"{other!r} and {name!r} differ in case only"
            raise Unreadable(
                f"{same} (columns {first} and {position}).",
                code="duplicate_column",
                hint="Keep one of them, or give them different names.",
                line=line,
            )


def missing(names: Sequence[str], dataset: Dataset) -> Unreadable | None:
    """The refusal of a file that lacks required columns; None if it has them all."""
    lacking = [name for name in required(dataset) if name not in names]
    if not lacking:
        return None
    guesses = {name: _guess(name, names, dataset) for name in lacking}
    meant = [f"Did you mean to call {guess!r} {name!r}?" for name, guess in guesses.items() if guess]
    return Unreadable(
        f"The file lacks the column{'s' * (len(lacking) > 1)} {', '.join(lacking)}. It has: {_listed(names)}.",
        code="missing_column",
        hint=" ".join(meant) or f"The dataset {dataset.name} needs: {', '.join(required(dataset))}.",
        line=1,
    )


def is_unknown(name: str, dataset: Dataset) -> bool:
    """The dataset has no place for this column."""
    return dataset.rest is None and name not in dataset.names


def unknown_message(name: str, dataset: Dataset) -> tuple[str, str]:
    """Message and hint for a column the dataset does not have."""
    close = _nearest(name, dataset.names)
    hint = f"Did you mean {close!r}?" if close else "Leave the column out, or upload to a dataset that takes it."
    return f"The dataset {dataset.name} has no column {name!r}. It has: {', '.join(dataset.names)}.", hint


def looks_like_data(names: Sequence[str], dataset: Dataset) -> bool:
    """No name is like any of the dataset's, and some cannot be a name: the header was forgotten."""
    if any(_nearest(name, dataset.names) for name in names):
        return False
    return any(not name.strip() or name.strip()[:1].isdigit() for name in names)


def _guess(wanted: str, names: Sequence[str], dataset: Dataset) -> str:
    """The file's column that was probably meant by ``wanted``; empty if none."""
    return _nearest(wanted, [name for name in names if name not in dataset.names])


def _nearest(wanted: str, names: Sequence[str]) -> str:
    by_shape = {_shape(name): name for name in reversed(names)}
    close = get_close_matches(_shape(wanted), list(by_shape), n=1, cutoff=0.75)
    return by_shape[close[0]] if close and close[0] else ""


def _shape(name: str) -> str:
    return re.sub(r"[\W_]", "", name).casefold()


def _listed(names: Sequence[str], most: int = 20) -> str:
    shown = ", ".join(name[:60] for name in names[:most])
    return f"{shown} and {len(names) - most:,} more" if len(names) > most else shown
