"""Check that the two files of a dataset fit each other, so that the first upload does not find that they do not."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pipeline.datasets.column_forms import folded
from pipeline.datasets.expected_arrivals import expected_interval
from pipeline.datasets.personal_columns import slip_in_ids
from pipeline.datasets.search_columns import indexed_columns
from pipeline.datasets.shape_meta import slip_in
from pipeline.datasets.table import LINEAGE
from pipeline.errors import InvalidConfiguration
from pipeline.units import audit_period

if TYPE_CHECKING:
    from pipeline.datasets.dataset import Dataset


def check_definition(dataset: Dataset, all_names: tuple[str, ...]) -> None:
    """Raise InvalidConfiguration if the two files do not fit each other, so that the first upload does not find it."""
    wanted = [dataset.key, dataset.parent, *LINEAGE]
    if dataset.rest:
        wanted.append(dataset.rest)
    missing = [name for name in wanted if name not in all_names]
    if missing:
        raise InvalidConfiguration(f"sql/tables/{dataset.name}.sql lacks the column(s) {', '.join(missing)}.")
    named = {e.get("kwargs", {}).get("column") for e in dataset.suite.get("expectations", [])} - {None}
    unknown = sorted(named - set(dataset.names))
    mapping = dataset.mapping
    unknown += sorted({*mapping.aliases, *mapping.defaults} - set(dataset.names))
    if unknown:
        raise InvalidConfiguration(f"expectations/{dataset.name}.json speaks of columns the table lacks: {', '.join(unknown)}.")
    try:
        _ = dataset.shape, dataset.bounds, dataset.tree_rules, dataset.tolerance, expected_interval(dataset.suite)
        indexed_columns(dataset)
        if dataset.audit_every is not None:
            audit_period(dataset.audit_every)
    except ValueError as error:
        raise InvalidConfiguration(f"expectations/{dataset.name}.json: {error}.") from error
    if slip := _slip_in_types(dataset):
        raise InvalidConfiguration(f"sql/tables/{dataset.name}.sql: {slip}.")
    slip = _slip_in_mapping(dataset) or _slip_in_shape(dataset)
    slip = slip or slip_in_ids(dataset, dataset.shape, dataset.suite.get("meta", {}).get("parent_by"))
    if slip:
        raise InvalidConfiguration(f"expectations/{dataset.name}.json: {slip}.")
    absent = [path.relative_to(dataset.root) for path in dataset.check_files if not path.is_file()]
    if absent:
        raise InvalidConfiguration(
            f"expectations/{dataset.name}.json sets bounds or rules, whose checks are missing: {', '.join(map(str, absent))}."
        )


_TEXT = re.compile(r"(text|varchar|character varying)( *\(\d+\))?")


def _slip_in_types(dataset: Dataset) -> str:
    """Return what makes a table with these types of columns impossible to load; an empty text if nothing does."""
    for name in (dataset.key, dataset.parent):
        if not _TEXT.fullmatch(kind := dataset.column(name).type):
            return f"the column {name} is {kind}; the key and the parent are text, whose ids are compared byte by byte"
    for column in dataset.columns:
        if column.type == "json":
            return (
                f"the column {column.name} is json, which PostgreSQL cannot compare, so that no record could be loaded again;"
                " declare it as jsonb"
            )
    return ""


def _slip_in_mapping(dataset: Dataset) -> str:
    """Return what is wrong with ``meta.mapping``; an empty text if nothing is."""
    mapping, lists = dataset.mapping, dataset.suite.get("meta", {}).get("mapping", {}).get("aliases", {}).values()
    texts = [*mapping.renames.values(), *mapping.defaults.values(), *(alias for many in lists for alias in many)]
    if not all(isinstance(many, list) for many in lists) or not all(isinstance(text, str) and text.strip() for text in texts):
        return "in meta.mapping, aliases are lists of names, renames and defaults are texts, and none is empty"
    for name in (dataset.key, dataset.parent, dataset.rest):
        if name in mapping.defaults:
            return f"meta.mapping gives {name} a default; the key, the parent and the column of the rest can have none"
    if kept := [name for name in mapping.renames.values() if name.casefold() in LINEAGE]:
        return f"meta.mapping renames a column to {kept[0]}, a name that Bulkhead keeps for itself"
    means: dict[str, str] = {folded(name): name for name in dataset.names}
    for name, aliases in mapping.aliases.items():
        for alias in aliases:
            other = means.setdefault(folded(alias), name)
            if other != name:
                return f"meta.mapping takes {alias!r} for {name}, but it is {other} already"
    if len(dataset.renamed) < len(mapping.renames) or dataset.renamed.keys() & dataset.aliased:
        return "meta.mapping says two things of one name"
    return ""


def _slip_in_shape(dataset: Dataset) -> str:
    """Return what is wrong with ``meta.shape``, or with it beside a hand-written staging query; an empty text if nothing is."""
    shape = dataset.shape
    if slip := slip_in(shape, dataset.names):
        return f"meta.{slip}"
    if dataset.staging_file.is_file() and (dataset.mapping.defaults or shape.path_separator):
        return f"defaults and path_separator are for sql/staging/{dataset.name}.sql to say, since it is written by hand"
    return ""
