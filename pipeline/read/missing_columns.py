"""Say what may be done about columns that are missing or unknown: names probably meant, the mapping to use, another shape."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from difflib import get_close_matches

from pipeline.contracts.options import DELIMITERS
from pipeline.datasets.dataset import Dataset
from pipeline.datasets.shape_meta import Shape
from pipeline.display import listed
from pipeline.errors import Unreadable
from pipeline.read import foreign_names
from pipeline.read.column_mapping import SKIPPED, as_mapping, display_name, mapped_names, required
from pipeline.read.shapes.suggest import shape_suggestion

_LEVELS_MOST = 8
_NAMED_MOST = 20


def missing_columns(
    names: Sequence[str], dataset: Dataset, originals: Sequence[str] = (), more: str = "", *, may_be_levels: bool = True
) -> Unreadable | None:
    """Return the error about required columns that are missing, or None. ``originals`` are the file's own names.

    ``more`` is what else the format's reader knows to do about it; ``may_be_levels``: each column may be a level.
    """
    lacking = [name for name in required(dataset) if name not in names]
    if not lacking:
        return None
    originals = originals or names
    more = more or _whole_lines(originals, dataset)
    other = _other_shape(lacking, originals, dataset) if may_be_levels else ""
    hint = " ".join(filter(None, (*_hints(lacking, names, originals, dataset, more), more)))
    return Unreadable(
        f"The file lacks the column{'s' * (len(lacking) > 1)} {', '.join(lacking)}."
        f" It has: {listed([name[:60] for name in originals], _NAMED_MOST)}.",
        code="missing_column",
        hint=hint or f"The dataset {dataset.name} needs: {', '.join(required(dataset))}.{other}",
        line=1,
    )


def _whole_lines(originals: Sequence[str], dataset: Dataset) -> str:
    """Return what to do about a table whose only column has whole lines of a text, which Excel did not split."""
    mark = next((one for one in DELIMITERS if len(originals) == 1 and one in originals[0]), "")
    if not mark or not {*required(dataset)}.issubset(mapped_names(originals[0].split(mark), dataset)):
        return ""
    return "The only column has whole lines of a text: upload that text itself, or in Excel: Data > Text to Columns."


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


def probable_columns(originals: Sequence[str], dataset: Dataset) -> dict[str, str]:
    """Return what columns with unknown names probably mean, for the columns that the file would be refused without."""
    names = mapped_names(originals, dataset)
    wanted = required(dataset) if dataset.rest else dataset.names
    lacking = [name for name in wanted if name not in names]
    return _probable(lacking, _free(names, originals, dataset), dataset)


def unknown_message(name: str, dataset: Dataset, original: str = "") -> tuple[str, str]:
    """Return message and hint for a column that the dataset does not have."""
    close = _nearest(name, [*dataset.names, *_aliases(dataset)])
    hint = f"Did you mean {close!r}?" if close else "Remove the column, or upload to a dataset that has it."
    called = display_name(repr(name), repr(original or name))
    return f"The dataset {dataset.name} has no column {called}. It has: {', '.join(dataset.names)}.", hint


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
