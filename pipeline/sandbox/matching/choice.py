"""Choose the dataset that a file fits best, with the suggestions for its columns."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pipeline.contracts.options import ReadOptions
from pipeline.datasets.dataset import Dataset, blank_dataset
from pipeline.errors import InvalidRequest
from pipeline.read.synonyms import Words
from pipeline.sandbox.matching.column_facts import Facts
from pipeline.sandbox.matching.dataset_fit import fit_of, ranked
from pipeline.sandbox.matching.suggestions import Matcher, Suggestions
from pipeline.sandbox.preview_model import ColumnMatch, DatasetFit


@dataclass(frozen=True)
class Look:
    """What is asked of a file whose columns were measured: among which datasets, for which one, with which options.

    ``guesses``: suggest also what an import would not do by itself.
    """

    facts: Facts
    words: Words
    options: ReadOptions
    datasets: tuple[Dataset, ...]
    asked: str | None
    guesses: bool


@dataclass(frozen=True)
class Choice:
    """The dataset that was chosen, or a blank one that stands for a new one (``name`` is None), and all that were compared."""

    name: str | None
    dataset: Dataset
    found: Suggestions
    fits: tuple[DatasetFit, ...]


def chosen(look: Look) -> Choice:
    """Return the dataset that is asked for, or else the one that fits best and lacks no column. Raises InvalidRequest."""
    found = {one.name: _suggested(look, one, is_certain=one.name == look.asked) for one in look.datasets}
    fits = ranked([fit_of(replace(one, options=_reading(look)), found[one.name], look.facts) for one in look.datasets])
    name = look.asked or next((one.dataset for one in fits if not one.missing and not one.unfit), None)
    dataset = next((one for one in look.datasets if one.name == name), None)
    if dataset is not None:
        if look.asked:
            dataset.check_mapping(look.options.mapping)
        return Choice(name, dataset, found[dataset.name], fits)
    blank = replace(blank_dataset("new dataset"), rest="-", suite={"name": "new dataset", "meta": {"title": "A new dataset"}})
    return Choice(None, blank, _suggested(look, blank, is_certain=True), fits)


def _reading(look: Look) -> ReadOptions:
    return replace(look.options, mapping={})


def _suggested(look: Look, dataset: Dataset, *, is_certain: bool) -> Suggestions:
    """Return the suggestions for a dataset; none where a shape means nothing for it.

    Raises InvalidRequest for such a shape if it ``is_certain`` that the dataset is meant.
    """
    try:
        shaped = replace(dataset, options=_reading(look))
        takes = {*(name for name in dataset.names if name != dataset.rest), ""}
        given = {name: column for name, column in look.options.mapping.items() if column in takes}
        return Matcher(shaped, look.facts, look.words, given).suggest(guesses=look.guesses)
    except InvalidRequest:
        if is_certain:
            raise
        columns = look.facts.columns
        return Suggestions([ColumnMatch(samples=one.samples) for one in columns], becomes=[None] * len(columns))
