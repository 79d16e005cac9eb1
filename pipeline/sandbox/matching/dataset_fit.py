"""Rank the datasets by how well a file's columns fit them."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.datasets.dataset import Dataset
from pipeline.display import counted, listed
from pipeline.read.column_mapping import required
from pipeline.sandbox.matching.column_facts import Facts
from pipeline.sandbox.matching.fitting_values import unfit_columns
from pipeline.sandbox.matching.suggestions import Suggestions, missing_after
from pipeline.sandbox.preview_model import DatasetFit


def fit_of(dataset: Dataset, found: Suggestions, facts: Facts) -> DatasetFit:
    """Return how well a file fits a dataset, with the suggestions that were made for it."""
    unfit = unfit_columns(dataset, found, facts)
    needs, missing = required(dataset), missing_after(found, dataset)
    columns = sum(one.suggested in dataset.names for one in found.matches)
    unknown = sum(one.suggested is None and own is None for one, own in zip(found.matches, found.becomes, strict=True))
    return DatasetFit(
        *(dataset.name, dataset.title, len(needs) - len(missing), len(needs)),
        missing=tuple(missing),
        columns=columns,
        unknown=unknown,
        unfit=tuple(unfit),
        reason=_unfit_reason(unfit) if unfit and not missing else _reason(needs, missing, columns, unknown),
    )


def _unfit_reason(unfit: Sequence[str]) -> str:
    return f"The dataset would refuse most values of {listed(unfit)}."


def _reason(needs: Sequence[str], missing: Sequence[str], columns: int, unknown: int) -> str:
    if missing:
        return f"The file lacks {listed(missing)}."
    found = f"The file has all {len(needs)} required columns" if len(needs) > 1 else "The file has the required column"
    if columns > len(needs):
        found += f", and {counted(columns - len(needs), 'other column')} of the dataset"
    if unknown:
        return f"{found}; it has {unknown} that the dataset does not have, which can be skipped."
    return f"{found}."


def ranked(fits: Sequence[DatasetFit]) -> tuple[DatasetFit, ...]:
    """Return the fits, the best one first: no column missing, values that fit, most columns of its own, fewest unknown ones."""

    def rank(fit: DatasetFit) -> tuple[object, ...]:
        share = fit.matched / fit.required if fit.required else 1.0
        return (
            bool(fit.missing),
            bool(fit.unfit),
            -share if fit.missing else 0.0,
            fit.unknown - fit.columns,
            fit.unknown,
            fit.dataset,
        )

    return tuple(sorted(fits, key=rank))
