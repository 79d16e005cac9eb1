"""Suggest what the columns of a file are in one dataset, each with its reason.

First what the upload says, then the names that an import matches by itself (column_mapping.py), then words for the key, the
parent and the other columns (synonyms.py), values (key_and_parent.py), and names that are similar (missing_columns.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pipeline.datasets.dataset import Dataset
from pipeline.display import counted
from pipeline.read import column_mapping, missing_columns
from pipeline.read.column_mapping import required
from pipeline.read.synonyms import EXACT, KEY, PARENT, Words, bare_letters
from pipeline.sandbox.matching.column_facts import ColumnFacts, Facts
from pipeline.sandbox.matching.key_and_parent import find_named, find_pair
from pipeline.sandbox.preview_model import ColumnMatch, SuggestedBy


@dataclass
class Suggestions:
    """The matches of a file's columns, in its order, and where the key and the parent are.

    ``named``: the column that names parents, and whether some of them are given by ID instead.
    """

    matches: list[ColumnMatch]
    key: int | None = None
    parent: int | None = None
    named: tuple[int, bool] | None = None
    becomes: list[str | None] = field(default_factory=list)  # without suggestions

    def place_of(self, column: str) -> int | None:
        """Return which of the file's columns is this one of the dataset."""
        return next((place for place, match in enumerate(self.matches) if match.suggested == column), None)

    def mapping(self, originals: list[str]) -> dict[str, str]:
        """Return the mapping that an upload needs for the suggestions: only what it would not do by itself."""
        pairs = zip(originals, self.matches, self.becomes, strict=True)
        return {name: one.suggested for name, one, own in pairs if one.suggested is not None and one.suggested != own}


class Matcher:
    """The suggestions for one dataset, while they are being made."""

    def __init__(self, dataset: Dataset, facts: Facts, words: Words, given: Mapping[str, str]) -> None:
        self._dataset, self._facts, self._words = dataset, facts, words
        self._originals = [column.original for column in facts.columns]
        names = column_mapping.mapped_names(self._originals, dataset)
        becomes = [None if column_mapping.is_unknown(name, dataset) else name for name in names]
        self._found = Suggestions([ColumnMatch(samples=one.samples) for one in facts.columns], becomes=becomes)
        self._given = given

    def suggest(self, *, guesses: bool) -> Suggestions:
        """Return the suggestions. ``guesses``: also what an import would not do by itself."""
        self._follow_given()
        self._follow_names()
        if guesses:
            self._find_key_and_parent()
            self._find_by_meaning()
            self._find_similar()
        found, dataset = self._found, self._dataset
        found.key, found.parent = found.place_of(dataset.key), found.place_of(dataset.parent)
        own = [place for place, _ in enumerate(found.matches) if self._can_name(place)]
        found.named = find_named(self._facts, found.key, found.parent, own)
        return found

    @property
    def _free(self) -> list[int]:
        """Return the places of the columns that are nothing yet."""
        return [place for place, one in enumerate(self._found.matches) if one.suggested is None and not one.is_given]

    @property
    def _open(self) -> list[str]:
        """Return the columns of the dataset that no column of the file is yet."""
        taken = {one.suggested for one in self._found.matches}
        return [name for name in self._dataset.names if name not in taken and name != self._dataset.rest]

    def _can_name(self, place: int) -> bool:
        column = self._found.matches[place].suggested or self._found.becomes[place]
        return bool(column) and (self._dataset.rest is not None or column in self._dataset.names)

    def _set(self, place: int, column: str, by: SuggestedBy, reason: str) -> None:
        self._found.matches[place] = ColumnMatch(column, by, reason, self._facts.columns[place].samples)

    def _follow_given(self) -> None:
        for place, name in enumerate(self._originals):
            if name in self._given:
                samples = self._facts.columns[place].samples
                self._found.matches[place] = ColumnMatch(self._given[name], None, "", samples, is_given=True)

    def _follow_names(self) -> None:
        """Take the columns that an import matches by itself."""
        given = {*self._given.values()}
        for place in self._free:
            own, name = self._found.becomes[place], self._originals[place]
            if own is None or own not in self._dataset.names or own in given:
                continue
            if own == name:
                reason = f"Its name is that of the column {own}."
            elif column_mapping.mapped_name(name, self._dataset) == own:
                reason = f"The dataset says that {own} may be called so."
            else:
                reason = f"Its name is {own}, apart from case, spaces, hyphens and underscores."
            self._set(place, own, "header", reason)

    def _find_key_and_parent(self) -> None:
        dataset, shape = self._dataset, self._dataset.shape
        is_open = {*self._open}
        wanted = {KEY} if dataset.key in is_open and not shape.gives_ids else set[str]()
        if dataset.parent in is_open and not (shape.kind or shape.path_separator):
            wanted.add(PARENT)
        key, parent = self._found.place_of(dataset.key), self._found.place_of(dataset.parent)
        pair = find_pair(self._facts, self._words, self._free, key=key, parent=parent, wanted=wanted)
        if KEY in wanted and pair.key is not None:
            self._set(pair.key, dataset.key, *self._why_key(pair.key, pair.others))
        if PARENT in wanted and pair.parent is not None:
            self._set(pair.parent, dataset.parent, *self._why_parent(pair.parent, pair.key))

    def _why_key(self, place: int, others: tuple[int, ...]) -> tuple[SuggestedBy, str]:
        column = self._facts.columns[place]
        values = _values_of_key(column)
        if others:
            values += f" {_named([self._facts.columns[one] for one in others[:3]])} would fit as well."
        return self._why(column, KEY, "an ID", values)

    def _why_parent(self, place: int, key: int | None) -> tuple[SuggestedBy, str]:
        column = self._facts.columns[place]
        values = ""
        if key is not None:
            found, given = self._facts.counted_inside(place, (key,))
            if given:
                share = "All" if found == given else f"{100 * found // given} %"
                values = f"{share} of its values are IDs in this file ({self._facts.columns[key].original})."
        return self._why(column, PARENT, "the parent", values)

    def _why(self, column: ColumnFacts, meaning: str, called: str, values: str) -> tuple[SuggestedBy, str]:
        """Return what suggested it, and the reason: the name if it is in the table of words, else the values."""
        if not self._words.strength(column.original, meaning):
            return "content", values or f"It may be {called}."
        language = self._words.language(column.original, meaning)
        of = f" ({language})" if language else ""
        verb = "is" if self._words.strength(column.original, meaning) == EXACT else "is probably"
        return "synonym", f'"{column.original}" {verb} a name for {called}{of}. {values}'.strip()

    def _find_by_meaning(self) -> None:
        """Match columns whose names mean the same: ``Full name`` and ``name``."""
        for name in self._open:
            if name in (self._dataset.key, self._dataset.parent):
                continue
            meaning = bare_letters(name) if bare_letters(name) in self._words.meanings else self._words.meaning_of(name)
            words = self._words.meanings.get(meaning, {}) if meaning not in (KEY, PARENT) else {}
            ranks = {word: rank for rank, word in enumerate(words)}
            found = [
                (ranks[letters], place) for place in self._free if (letters := bare_letters(self._originals[place])) in ranks
            ]
            if found:
                place = min(found)[1]
                language = words[bare_letters(self._originals[place])]
                of = f" ({language})" if language else ""
                self._set(place, name, "synonym", f'"{self._originals[place]}" means the same as {name}{of}.')

    def _find_similar(self) -> None:
        """Take the names that are similar, as the message about missing columns does."""
        probable = missing_columns.probable_columns(self._originals, self._dataset)
        is_open = {*self._open}
        for place in self._free:
            name = self._originals[place]
            if (meant := probable.get(name, "")) in is_open:
                is_open.discard(meant)
                self._set(place, meant, "similar", f"Its name is similar to {meant}.")


def missing_after(found: Suggestions, dataset: Dataset) -> list[str]:
    """Return the required columns of the dataset that no column of the file is, with the suggestions."""
    there = {one.suggested if one.suggested is not None else own for one, own in zip(found.matches, found.becomes, strict=True)}
    return [name for name in required(dataset) if name not in there]


def _values_of_key(column: ColumnFacts) -> str:
    if not column.is_measured or not column.given:
        return ""
    if column.is_unique:
        return f"Its {column.given:,} values are unique."
    empty, again = column.records - column.given, column.given - column.distinct
    said = [f"{counted(empty, 'record')} without a value"] * bool(empty)
    said += [f"{counted(again, 'value')} that occurred before"] * bool(again)
    return f"It has {column.distinct:,} different values; {' and '.join(said)}."


def _named(columns: list[ColumnFacts]) -> str:
    return " and ".join(f'"{column.original}"' for column in columns)
