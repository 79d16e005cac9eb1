"""Make the files of the dbt project: those in ``files/``, which are always the same, and what the datasets say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline.datasets.dataset import Dataset, dataset_names, load_dataset
from pipeline.dbt_package.sources import SOURCE, source_tables
from pipeline.errors import InvalidRequest

_FIXED = Path(__file__).with_name("files")
_GIT_IGNORES = "target/\nlogs/\ndbt_packages/\n.user.yml\n"


def read_datasets(root: Path, names: Sequence[str]) -> list[Dataset]:
    """Return the datasets of a folder that are named, or all; each once. Raises UnknownDataset, InvalidRequest."""
    wanted = list(dict.fromkeys(names)) or dataset_names(root)
    if not wanted:
        raise InvalidRequest("There is no dataset to describe. Create one: bulkhead dataset new NAME FILE")
    return [load_dataset(name, root) for name in wanted]


def project_files(datasets: Sequence[Dataset], root: Path) -> dict[str, str]:
    """Return the text of each file by its path in the project, sorted. ``datasets``: at least one; ``root``: their folder."""
    fixed = {
        file.relative_to(_FIXED).as_posix(): file.read_text(encoding="utf-8") for file in _FIXED.rglob("*") if file.is_file()
    }
    made = {
        ".gitignore": _GIT_IGNORES,
        "models/sources.yml": _sources(datasets, root),
        "macros/hierarchy_columns.sql": _hierarchy_columns(datasets),
        "models/example/record_ancestors.sql": _example(datasets[0]),
    }
    return dict(sorted({**fixed, **made}.items()))


def _sources(datasets: Sequence[Dataset], root: Path) -> str:
    import yaml

    source = {
        "name": SOURCE,
        "description": "The records that Bulkhead has loaded.",
        "schema": "{{ var('bulkhead_schema', 'warehouse') }}",
        "tables": [*source_tables(datasets, root, dataset_names(root))],
    }
    return yaml.safe_dump({"version": 2, "sources": [source]}, sort_keys=False, allow_unicode=True, width=120)


_COLUMNS = """\
{{# The key and the parent column of a dataset's table, which the macros ancestors and descendants follow. #}}
{{% macro hierarchy_columns(relation) %}}
{{%- set of_table = {columns} -%}}
{{{{ return(of_table.get(relation.identifier, ['id', 'parentId'])) }}}}
{{% endmacro %}}
"""


def _hierarchy_columns(datasets: Sequence[Dataset]) -> str:
    columns: Mapping[str, list[str]] = {one.name: [one.key, one.parent] for one in datasets}
    return _COLUMNS.format(columns=ascii(columns))


def _example(dataset: Dataset) -> str:
    return (
        f"-- An example: each record of {dataset.name} with each record above it.\n"
        "{{ config(materialized='view') }}\n\n"
        f"{{{{ bulkhead.ancestors(source('{SOURCE}', '{dataset.name}')) }}}}\n"
    )
