"""Which columns of a dataset hold personal data: ``meta.personal``, a list of columns whose values are masked.

The key and the parent column cannot be among them: IDs are in addresses, links, cycles and logs. Nor can a column that IDs are
made of. A person is identified by an ID that says nothing about them; docs/datasets.md says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.datasets.parent_names import parent_names
from pipeline.display import meant

if TYPE_CHECKING:
    from pipeline.datasets.dataset import Dataset
    from pipeline.datasets.shape_meta import Shape


def personal_columns(dataset: Dataset) -> tuple[str, ...]:
    """Return the columns with personal data, in the table's order. Raises ValueError for a definition that means nothing."""
    said = dataset.suite.get("meta", {}).get("personal", [])
    if not isinstance(said, list) or not all(isinstance(one, str) for one in said):
        raise ValueError('meta.personal is a list of columns, such as ["email", "name"]')
    for name in said:
        if name in (dataset.key, dataset.parent):
            raise ValueError(
                f"meta.personal names {name}, but IDs are in addresses, links and logs, and cannot be masked; use IDs that say"
                " nothing about a person, and keep what does in another column"
            )
        if name not in dataset.names:
            raise ValueError(f"meta.personal names {name!r}, which the table lacks.{meant(name, dataset.names)}".rstrip("."))
    return tuple(name for name in dataset.names if name in said)


def is_visible(dataset: Dataset, column: str) -> bool:
    """Return whether values of this column of a file may be shown although the dataset has personal data.

    A column that the dataset does not have may be a misspelt personal one, unless the column of the rest takes it, untagged.
    """
    if column in dataset.names:
        return column not in dataset.personal
    return dataset.rest is not None and dataset.rest not in dataset.personal


def slip_in_ids(dataset: Dataset, shape: Shape, parent_by: str | None) -> str:
    """Return why IDs or parents would be made of values that are to be masked; an empty text if they would not."""
    if not dataset.personal:
        return ""
    if parent_by and not is_visible(dataset, parent_names(parent_by, dataset.key, dataset.names).column):
        return f"parent_by is {parent_by}, whose values are masked: they would appear as parents"
    if shape.kind or shape.path_separator:
        return (
            "shape makes IDs of a file's values, and this dataset has personal data: give its records IDs and a parent column"
        )
    return ""
