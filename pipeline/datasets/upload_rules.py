"""What holds for the values of one upload: its own options, or else what the suite's ``meta`` says."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pipeline.contracts.options import ReadOptions
from pipeline.datasets.cleaning_rules import Cleaning, check_columns, parse_cleaning
from pipeline.datasets.parent_names import ParentNames, parent_names
from pipeline.datasets.personal_columns import slip_in_ids
from pipeline.display import meant
from pipeline.errors import InvalidConfiguration, InvalidRequest

if TYPE_CHECKING:
    from pipeline.datasets.dataset import Dataset


def cleaning_of(dataset: Dataset) -> Cleaning:
    """Return the rules that clean a file's values: ``meta.clean``, which the upload overrides key by key.

    Raises InvalidRequest or InvalidConfiguration, whichever of the two is wrong.
    """
    if not dataset.columns:  # a preview shows the values as they are
        return Cleaning()
    suite = dataset.suite.get("meta", {}).get("clean", {})
    try:
        _parsed(suite, dataset)
    except ValueError as error:
        raise InvalidConfiguration(f"expectations/{dataset.name}.json: meta.{error}.") from error
    try:
        return _parsed({**suite, **dataset.options.clean}, dataset)
    except ValueError as error:
        raise InvalidRequest(f"{_capitalized(str(error))}.") from error


OWN_ID = "{id}"
"""Among the values that mean "no parent": the record's own ID."""


def no_parent_values_of(dataset: Dataset) -> tuple[str, ...]:
    """Return the values of the parent column that mean that a record has no parent. Raises InvalidConfiguration."""
    said = dataset.options.no_parent_values or dataset.suite.get("meta", {}).get("no_parent_values", ())
    if not isinstance(said, list | tuple) or not all(isinstance(one, str) for one in said):
        raise InvalidConfiguration(f"expectations/{dataset.name}.json: meta.no_parent_values is a list of texts.")
    return tuple(said)


def parent_names_of(dataset: Dataset) -> ParentNames | None:
    """Return by what the parent column names parents; None if it has their IDs.

    Raises InvalidRequest or InvalidConfiguration for a column that the dataset does not have.
    """
    asked, said = dataset.options.parent_by, dataset.suite.get("meta", {}).get("parent_by")
    by: Any = asked or said
    names = parent_names(by, dataset.key, dataset.names) if isinstance(by, str) else None
    column = names.column if names else by
    if not dataset.columns or not column or (column == dataset.key and not (names and names.separator)):
        return None
    may_be = [name for name in dataset.names if name not in (dataset.parent, dataset.rest)]
    if names and column not in (dataset.parent, dataset.rest) and (column in may_be or dataset.rest):
        return names
    wrong = f"parent_by is a column whose value names the parent, not {column!r}."
    if not asked:
        raise InvalidConfiguration(f"expectations/{dataset.name}.json: meta.{wrong} Its columns: {', '.join(may_be)}.")
    raise InvalidRequest(f"{wrong}{meant(column, may_be)} Its columns: {', '.join(may_be)}.")


def parent_by_of(dataset: Dataset) -> str | None:
    """Return the column whose values name the parents, as parent_names_of does."""
    names = parent_names_of(dataset)
    return names.column if names else None


def is_id_or_name(dataset: Dataset) -> bool:
    """Return whether a parent is an ID if the file has it, and only otherwise a name: ``parent_by`` is ``id,name``."""
    names = parent_names_of(dataset)
    return names is not None and names.may_be_id


def check_value_options(dataset: Dataset, options: ReadOptions) -> None:
    """Raise InvalidRequest if an upload's ``clean`` or ``parent_by`` means nothing for the dataset."""
    asked = replace(dataset, options=options)
    cleaning_of(asked)
    parent_by = parent_by_of(asked)
    if slip := slip_in_ids(dataset, dataset.shape, parent_by):
        raise InvalidRequest(f"{_capitalized(slip)}.")


def check_suite(dataset: Dataset) -> None:
    """Raise InvalidConfiguration if the suite's ``clean``, ``no_parent_values`` or ``parent_by`` means nothing."""
    cleaning_of(dataset)
    no_parent_values_of(dataset)
    parent_by_of(dataset)


def _parsed(said: object, dataset: Dataset) -> Cleaning:
    cleaning = parse_cleaning(said)
    check_columns(cleaning, dataset.names, takes_others=dataset.rest is not None)
    if cleaning.rules and dataset.staging_file.is_file():
        raise ValueError(f"clean cannot change values here: sql/staging/{dataset.name}.sql is written by hand")
    return cleaning


def _capitalized(text: str) -> str:
    return text[:1].upper() + text[1:]
