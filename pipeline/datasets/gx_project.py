"""Write datasets as a Great Expectations project: suites, a data source on the loaded tables, and a checkpoint for each.

The layout is that of a file context of Great Expectations 1.x (``gx.get_context(mode="file")``). It is written without that
library, whose import takes seconds; tests/integration/cli/test_gx.py has the library open and run it. The address of the
database is read from an environment variable, so no file has a password.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.datasets.dataset import Dataset
from pipeline.datasets.table import LINEAGE
from pipeline.sqlfiles import load, quoted

ADDRESS = "GX_DATABASE_URL"
"""The environment variable with the address of the warehouse, as SQLAlchemy writes it: postgresql+psycopg://..."""

SOURCE, SCHEMA, BATCH = "warehouse", "warehouse", "loaded"
_SEVERITY = {"error": "critical", "warning": "warning", "info": "info"}
_OURS = uuid.UUID("5f0c7a9e-3f0e-5a8b-9a53-0c1f4e0d7a52")
"""The namespace of the ids: the same dataset has the same ids in each project, so writing it again changes nothing."""


@dataclass(frozen=True)
class Exported:
    """What a dataset became: the number of its expectations, and the rules that no loaded table can be asked for."""

    dataset: str
    expectations: int
    left_out: tuple[str, ...]


def project_files(datasets: Sequence[Dataset]) -> tuple[dict[str, str], list[Exported]]:
    """Return the files of a project by their paths in its folder, and what each dataset became."""
    files = {"gx/great_expectations.yml": _context(datasets), "gx/.gitignore": "uncommitted/\n", "README.md": _readme(datasets)}
    exported = []
    for dataset in datasets:
        suite = _suite(dataset)
        files[f"gx/expectations/{dataset.name}.json"] = _json(suite)
        files[f"gx/validation_definitions/{dataset.name}.json"] = _json(_definition(dataset))
        files[f"gx/checkpoints/{dataset.name}.json"] = _json(_checkpoint(dataset))
        exported.append(Exported(dataset.name, len(suite["expectations"]), tuple(_left_out(dataset))))
    return files, exported


def write_project(files: Mapping[str, str], folder: Path) -> None:
    """Write the files below the folder; what else is there stays. Raises OSError."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def _id(*names: str) -> str:
    return str(uuid.uuid5(_OURS, "/".join(names)))


# --- the suite ---


def _suite(dataset: Dataset) -> dict[str, Any]:
    rules = [*_of_table(dataset), *_of_suite(dataset), *_of_tree(dataset)]
    return {
        "name": dataset.name,
        "id": _id("suite", dataset.name),
        "expectations": [{**rule, "id": _id("rule", dataset.name, str(number))} for number, rule in enumerate(rules)],
        "meta": {"title": dataset.title, "rules_version": dataset.version},
        "notes": "".join(f"Not in this suite: {one}. " for one in _left_out(dataset)).rstrip() or None,
    }


def _rule(
    kind: str, *, severity: str = "error", description: str | None = None, meta: Any = None, **kwargs: Any
) -> dict[str, Any]:
    said = {"description": description} if description else {}
    return {"type": kind, "kwargs": kwargs, "meta": meta or {}, "severity": _SEVERITY[severity], **said}


def _of_table(dataset: Dataset) -> Iterator[dict[str, Any]]:
    names = [*dataset.names, *LINEAGE]
    yield _rule("expect_table_columns_to_match_set", column_set=names, exact_match=False)
    yield _rule("expect_column_values_to_be_unique", column=dataset.key)


def _of_suite(dataset: Dataset) -> Iterator[dict[str, Any]]:
    for one in dataset.suite.get("expectations", []):
        meta = one.get("meta", {})
        severity = meta.get("severity", "warning" if one.get("severity") in ("warning", "info") else "error")
        kwargs = one.get("kwargs", {})
        yield _rule(one["type"], severity=severity, description=one.get("description"), meta=meta, **kwargs)


def _of_tree(dataset: Dataset) -> Iterator[dict[str, Any]]:
    yield _rows(dataset, "missing_parent", "Every parent is loaded.")
    yield _rows(dataset, "self_parent", "No record is its own parent.")
    yield _rows(dataset, "circular_reference", "No record is its own ancestor.")
    limits = dataset.bounds
    if limits.max_depth is not None:
        yield _rows(dataset, "max_depth_exceeded", f"The tree has at most {limits.max_depth} levels.", limits.max_depth)
    if limits.max_children is not None:
        text = f"A record has at most {limits.max_children} children."
        yield _rows(dataset, "max_children_exceeded", text, limits.max_children)
    if limits.single_root:
        yield _rows(dataset, "several_roots", "There is only one root.")


def _rows(dataset: Dataset, code: str, text: str, limit: int = 0) -> dict[str, Any]:
    """Return the expectation that a query of the table finds no record.

    In place of {batch} Great Expectations writes the table as a subquery that has an alias already.
    """
    columns = {"key": quoted(dataset.key), "parent": quoted(dataset.parent), "most": limit}
    names = {name: str(value).replace("{", "{{").replace("}", "}}") for name, value in columns.items()}
    _, _, query = load(f"queries/gx/{code}").partition("\n")  # the first line is its comment
    filled = query.strip().format(batch="{batch}", **names)
    return _rule("unexpected_rows_expectation", description=text, meta={"code": code}, unexpected_rows_query=filled)


def _left_out(dataset: Dataset) -> Iterator[str]:
    """Yield the rules that are checked only on a file beside the warehouse, in words."""
    own = [path for path in dataset.check_files if path.parent.name == dataset.name]
    yield from (f"sql/checks/{dataset.name}/{path.name}, which is a query of a staged file" for path in own)
    yield from (f"the tree rule {name} (bulkhead audit {dataset.name} checks it)" for name in dataset.tree_rules.checks)
    if dataset.bounds.min_depth is not None:
        yield f"the least depth of {dataset.bounds.min_depth} (bulkhead audit {dataset.name} checks it)"


# --- what runs it ---


def _definition(dataset: Dataset) -> dict[str, Any]:
    return {
        "name": dataset.name,
        "id": _id("definition", dataset.name),
        "data": {
            "datasource": {"name": SOURCE, "id": _id("source")},
            "asset": {"name": dataset.name, "id": _id("asset", dataset.name)},
            "batch_definition": {"name": BATCH, "id": _id("batch", dataset.name)},
        },
        "suite": {"name": dataset.name, "id": _id("suite", dataset.name)},
    }


def _checkpoint(dataset: Dataset) -> dict[str, Any]:
    """Return the checkpoint; of a dataset with personal data its results have no values."""
    return {
        "name": dataset.name,
        "id": _id("checkpoint", dataset.name),
        "validation_definitions": [{"name": dataset.name, "id": _id("definition", dataset.name)}],
        "actions": [{"name": "data docs", "site_names": [], "type": "update_data_docs"}],
        "result_format": "BOOLEAN_ONLY" if dataset.personal else "SUMMARY",
    }


def _context(datasets: Sequence[Dataset]) -> str:
    """Return great_expectations.yml. The data source is written as JSON, which is YAML too."""
    assets = {
        dataset.name: {
            "type": "table",
            "id": _id("asset", dataset.name),
            "table_name": dataset.name,
            "schema_name": SCHEMA,
            "batch_metadata": {},
            "batch_definitions": {BATCH: {"id": _id("batch", dataset.name), "partitioner": None}},
        }
        for dataset in datasets
    }
    source = {
        "type": "postgres",
        "id": _id("source"),
        "connection_string": f"${{{ADDRESS}}}",
        "create_temp_table": False,  # the login may only read
        "assets": assets,
    }
    return "\n".join(
        [
            "# Written by `bulkhead gx`. The address of the database is in the environment: " + ADDRESS,
            "config_version: 4.0",
            "plugins_directory: plugins/",
            *_stores(),
            "data_docs_sites:",
            "  local_site:",
            "    class_name: SiteBuilder",
            "    show_how_to_buttons: false",
            "    store_backend:",
            "      class_name: TupleFilesystemStoreBackend",
            "      base_directory: uncommitted/data_docs/local_site/",
            "    site_index_builder:",
            "      class_name: DefaultSiteIndexBuilder",
            f"fluent_datasources: {json.dumps({SOURCE: source}, indent=2, ensure_ascii=False)}",
            "analytics_enabled: false",
            f"data_context_id: {_id('context')}",
            "",
        ]
    )


def _stores() -> Iterator[str]:
    stores = (
        ("expectations_store", "ExpectationsStore", "expectations/"),
        ("validation_results_store", "ValidationResultsStore", "uncommitted/validations/"),
        ("checkpoint_store", "CheckpointStore", "checkpoints/"),
        ("validation_definition_store", "ValidationDefinitionStore", "validation_definitions/"),
    )
    yield "stores:"
    for name, kind, folder in stores:
        yield f"  {name}:"
        yield f"    class_name: {kind}"
        yield f"    store_backend: {{class_name: TupleFilesystemStoreBackend, base_directory: {folder}}}"
    for name, _, _ in stores[:3]:
        yield f"{name}_name: {name}"


def _readme(datasets: Sequence[Dataset]) -> str:
    first = datasets[0].name if datasets else "places"
    return f"""# Great Expectations on what Bulkhead has loaded

Written by `bulkhead gx`. Each dataset has a suite, a validation definition and a checkpoint of its name:
{", ".join(f"`{dataset.name}`" for dataset in datasets)}.

Install `great_expectations` 1.24 or newer and `psycopg[binary]`, set `{ADDRESS}` to an address of the warehouse whose login may
read the schema `{SCHEMA}`, such as `postgresql+psycopg://LOGIN:PASSWORD@HOST/DATABASE`, and run in this folder:

```python
import great_expectations as gx

context = gx.get_context(mode="file")
result = context.checkpoints.get("{first}").run()
print(result.success)
context.open_data_docs()
```

A suite's `notes` name the rules that only Bulkhead checks. After a change of the rules, write this folder again:
`bulkhead gx . --force`.
"""
