"""Find the columns of ids and parents in a file, by their names and by their values together.

A column whose values are unique may be the id; a column whose values lie in it may be its parent. Names in the table of words
come first, values decide between them, and the order in the file decides what is still open.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from pipeline.read.synonyms import EXACT, KEY, PARENT, Words
from pipeline.sandbox.matching.column_facts import ColumnFacts, Facts

INSIDE = 0.9
"""The share of a column's values that must be ids for it to be taken as the parent by its values alone."""

_LOOKED_AT = 60
_ID_CHARACTERS = 80


@dataclass(frozen=True)
class Pair:
    """The places of the two columns in the file; None: none was found. ``others``: ids that would fit as well."""

    key: int | None
    parent: int | None
    others: tuple[int, ...] = ()


def find_pair(
    facts: Facts,
    words: Words,
    free: Sequence[int],
    *,
    key: int | None = None,
    parent: int | None = None,
    wanted: Collection[str],
) -> Pair:
    """Return the columns among ``free`` that are probably the id and the parent. ``key``, ``parent``: what is known already.

    ``wanted``: which of the two, KEY and PARENT, are looked for.
    """
    keys = (
        [key] if key is not None else [one for one in free if _may_be_key(facts.columns[one], words)] if KEY in wanted else []
    )
    keys = keys[:_LOOKED_AT]
    parents = [parent] if parent is not None else list(free)[:_LOOKED_AT] if PARENT in wanted else []
    scored = [(_score_key(facts, words, one, parents, is_known=one == key), -one) for one in keys]
    best = -max(scored)[1] if scored else None
    fitting = [other for other in parents if other != best and (other == parent or _may_be_parent(facts, words, other, best))]
    scores = [(_score_parent(facts, words, other, best), -other) for other in fitting]
    others = tuple(-place for score, place in scored if -place != best and score >= max(scored)[0] - 0.01)
    return Pair(best, -max(scores)[1] if scores else None, others)


def _may_be_key(column: ColumnFacts, words: Words) -> bool:
    strength = words.strength(column.original, KEY)
    if not column.is_measured or not column.given:
        return strength == EXACT
    if words.strength(column.original, PARENT) == EXACT and strength < EXACT:
        return False
    if strength == EXACT:
        return column.distinct >= 0.5 * column.given
    is_like_ids = column.longest <= _ID_CHARACTERS and not column.decimals and not column.dates
    return is_like_ids and (column.is_unique or (strength > 0 and column.is_nearly_unique))


def _score_key(facts: Facts, words: Words, place: int, parents: Sequence[int], *, is_known: bool) -> float:
    """Return how well a column fits as the id: by its name, by its values, and by what lies in them."""
    column = facts.columns[place]
    if is_known:
        return 100.0
    score = 2.0 * words.strength(column.original, KEY)
    score += 3.0 if column.is_unique else 2.0 if column.is_nearly_unique else 0.0
    named = [one for one in parents if one != place and words.strength(facts.columns[one].original, PARENT)]
    likely = named or [one for one in parents if one != place and not facts.columns[one].is_unique]
    score += 3.0 * max((facts.inside(one, (place,)) for one in likely), default=0.0)
    return score - (1.5 if words.meaning_of(column.original) else 0.0)


def _may_be_parent(facts: Facts, words: Words, place: int, key: int | None) -> bool:
    column = facts.columns[place]
    if words.strength(column.original, PARENT):
        return True
    if key is None or not column.given or column.given == column.distinct == column.records or column.decimals or column.dates:
        return False
    has_root = column.given < column.records or bool(column.blanks)
    is_other = words.meaning_of(column.original) or words.strength(column.original, KEY) == EXACT
    return has_root and not is_other and column.records > 2 and facts.inside(place, (key,)) >= INSIDE


def _score_parent(facts: Facts, words: Words, place: int, key: int | None) -> float:
    share = facts.inside(place, (key,)) if key is not None else 0.0
    return 2.5 * words.strength(facts.columns[place].original, PARENT) + 4.0 * share


def find_named(facts: Facts, key: int | None, parent: int | None, among: Sequence[int]) -> tuple[int, bool] | None:
    """Return the column whose values name the parents that are no ids, and whether some of them are ids; None if there is none.

    That is the column, with a value of its own in almost every record, in which most of them lie.
    """
    if key is None or parent is None or not facts.columns[parent].given:
        return None
    by_id, given = facts.counted_inside(parent, (key,))
    if not given or by_id == given:
        return None
    others = [one for one in among if one not in (key, parent) and facts.columns[one].is_nearly_unique][:_LOOKED_AT]
    found = [(facts.counted_inside(parent, (key, one))[0], -one) for one in others]
    most, place = max(found, default=(0, 0))
    if most - by_id < max(1, (given - by_id) / 2):
        return None
    return -place, by_id > 0
