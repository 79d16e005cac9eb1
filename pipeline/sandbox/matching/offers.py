"""Offer options of reading that probably help, each with a sentence: one click in the page sets it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.contracts.options import ReadOptions
from pipeline.datasets.dataset import Dataset
from pipeline.datasets.shape_meta import Shape
from pipeline.datasets.upload_rules import cleaning_of, no_parent_values_of, parent_by_of
from pipeline.display import counted, listed
from pipeline.read.raw_tables import printable
from pipeline.read.shapes.suggest import suggested_shape
from pipeline.sandbox.matching.column_facts import NO_PARENT_WORDS, Facts
from pipeline.sandbox.matching.openings import Opening
from pipeline.sandbox.matching.suggestions import Suggestions
from pipeline.sandbox.preview_model import Offer

_SHOWN = 5


@dataclass(frozen=True)
class Seen:
    """What is known of a file when options are offered. ``used``: options that were recognised and are used already."""

    dataset: Dataset  # with the options that were asked for
    facts: Facts
    found: Suggestions
    opening: Opening
    used: Mapping[str, Any] = field(default_factory=dict)

    @property
    def options(self) -> ReadOptions:
        """Return the options that were asked for."""
        return self.dataset.options


def offers_for(seen: Seen) -> tuple[Offer, ...]:
    """Return the offers, those that were used already first."""
    return (*_used(seen), *_of_parents(seen), *_of_values(seen), *_of_columns(seen), *_of_sheets(seen))


def _used(seen: Seen) -> Iterator[Offer]:
    if row := seen.used.get("header_row"):
        said = f"The columns' names were found in row {row}. If they are in another row, choose that one."
        yield Offer("header_row", row, said, "rows", rows=(row,), is_used=True)
    if sheet := seen.used.get("sheet"):
        said = f"The sheet {printable(sheet)} has the most known columns. If the records are in another one, choose that."
        yield Offer("sheet", sheet, said, is_used=True)


def totals_offer(totals: Sequence[tuple[int | None, str]]) -> tuple[Offer, ...]:
    """Return the offer to skip rows of totals, (row, what it is called) each; none if there are none.

    Reading finds them, unless it was told to skip them.
    """
    if not totals:
        return ()
    rows = tuple(row for row, _ in totals if row is not None)
    labels = listed([f'"{printable(label)}"' for _, label in totals], _SHOWN)
    said = f"Skip {counted(len(totals), 'row')} of totals or notes: {labels}."
    return (Offer("clean", {"skip_totals": True}, said, "rows", rows=rows),)


def encoding_offers(likely: Sequence[tuple[str, str]]) -> tuple[Offer, ...]:
    """Return the offers to read a text in one of these encodings, (option, name) each; it was read in the first of them."""
    (used, title), *others = likely
    said = (
        f"The file is not UTF-8. It was read as {title}, its likeliest encoding: see whether letters with accents and signs"
        " are right."
    )
    return (
        Offer("encoding", used, said, is_used=True),
        *(Offer("encoding", name, f"Read it as {other} instead, if letters look wrong.") for name, other in others),
    )


def _of_parents(seen: Seen) -> Iterator[Offer]:
    found, facts, dataset = seen.found, seen.facts, seen.dataset
    if found.parent is None:
        if dataset.shape == Shape() and (shape := suggested_shape([one.original for one in facts.columns])):
            columns = tuple(one.original for one in facts.columns if one.original in str(shape))
            said = f"There is no column of parents. The hierarchy seems to be written in another way: {shape['kind']}."
            yield Offer("shape", shape, said, "columns", columns=columns)
        return
    column = facts.columns[found.parent]
    if found.named and parent_by_of(dataset) is None:
        yield _by_name(seen, *found.named)
    if found.key is not None and not no_parent_values_of(dataset):
        named = [found.named[0]] if found.named else []
        none = facts.values_outside(found.parent, [found.key, *named], NO_PARENT_WORDS)
        if none:
            shown = listed([repr(printable(one)) for one in none], _SHOWN)
            said = f"Read {shown} in {column.original} as no parent: such records are roots."
            yield Offer("no_parent_values", list(none), said, "columns", columns=(column.original,))


def _by_name(seen: Seen, place: int, is_mixed: bool) -> Offer:
    facts, found = seen.facts, seen.found
    parent, name = facts.columns[found.parent or 0], facts.columns[place]
    column = found.matches[place].suggested or found.becomes[place] or name.original
    by_id, given = facts.counted_inside(found.parent or 0, (found.key or 0,))
    either, _ = facts.counted_inside(found.parent or 0, (found.key or 0, place))
    if is_mixed:
        said = (
            f"In {parent.original}, {by_id:,} of {given:,} parents are given by ID,"
            f" and {either - by_id:,} by {name.original}: accept both."
        )
    else:
        said = f"In {parent.original}, {either:,} of {given:,} parents are given by {name.original}, not by ID."
    value = f"{seen.dataset.key},{column}" if is_mixed else column
    return Offer("parent_by", value, said, "columns", columns=(parent.original, name.original))


def _of_values(seen: Seen) -> Iterator[Offer]:
    """Offer rules that clean values: texts that mean nothing, spaces around values."""
    if seen.dataset.staging_file.is_file():
        return
    rules = {rule.name for rule in cleaning_of(seen.dataset).rules}
    key_and_parent = (seen.found.key, seen.found.parent)
    blank = [(place, one) for place, one in enumerate(seen.facts.columns) if one.blanks and place not in key_and_parent]
    if blank and "null_values" not in rules:
        texts = sorted({text for _, one in blank for text in one.blanks})
        columns = [name for place, _ in blank if (name := _column(seen, place))]
        if columns:
            said = f"Read {listed([repr(printable(one)) for one in texts], _SHOWN)} as an empty cell."
            value = {"null_values": {"value": texts, "columns": columns}}
            yield Offer("clean", value, said, "columns", columns=tuple(one.original for _, one in blank))
    padded = tuple(one.original for one in seen.facts.columns if one.padded)
    if padded and "trim" not in rules:
        count = sum(one.padded for one in seen.facts.columns)
        yield Offer("clean", {"trim": True}, f"Remove the spaces around {counted(count, 'value')}.", "columns", columns=padded)


def _column(seen: Seen, place: int) -> str | None:
    """Return the column of the dataset that one of the file becomes; None if it is skipped or refused."""
    suggested = seen.found.matches[place].suggested
    return seen.found.becomes[place] if suggested is None else suggested or None


def _of_columns(seen: Seen) -> Iterator[Offer]:
    pairs = zip(seen.facts.columns, seen.found.matches, seen.found.becomes, strict=True)
    unknown = [column.original for column, match, own in pairs if match.suggested is None and own is None]
    if unknown:
        said = f"{seen.dataset.title} has no column for {listed(unknown, _SHOWN)}: skip {'them' if len(unknown) > 1 else 'it'}."
        yield Offer("mapping", dict.fromkeys(unknown, ""), said, "columns", columns=tuple(unknown))


def _of_sheets(seen: Seen) -> Iterator[Offer]:
    for name in seen.opening.sheets[:20]:
        if name != seen.opening.sheet:
            yield Offer("sheet", name, f"Read the sheet {printable(name)} instead of {printable(seen.opening.sheet)}.")
