"""Describe a dataset's table and its tree view as tables of a dbt source (``models/sources.yml``)."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import sqlglot
from sqlglot import expressions as exp
from sqlglot.errors import SqlglotError

from pipeline.datasets.dataset import Dataset
from pipeline.datasets.expected_arrivals import expected_interval
from pipeline.datasets.table import Column
from pipeline.dbt_package.jinja import verbatim
from pipeline.report.rule_texts import rule_text
from pipeline.sqlfiles import literal, opening_comment, quoted

SOURCE = "bulkhead"
"""The name of the source and of the package."""

_LINEAGE = (
    ("_import_id", "uuid", "The import that wrote this version of the record."),
    ("_row", "bigint", "The row of that import's file."),
    ("_loaded_at", "timestamptz", "When this version of the record was written. A record that does not change keeps its time."),
)
_TREE = (
    ("id", "text", "The record's ID."),
    ("parentId", "text", "The ID of the record above; null for a root."),
    ("depth", "integer", "How many records are above it; 0 for a root."),
    ("path", "text", "The IDs from the root to the record, with ' > ' between them."),
    ("children", "bigint", "The number of records directly below."),
    ("descendants", "bigint", "The number of all records below."),
)
_TREE_TEXT = (
    "Each record of {name} with its place in the tree. Each value is computed for the rows and columns that are read:"
    " fast for a few records, slow for all records of a large dataset."
)

Described = dict[str, Any]


def source_tables(datasets: Collection[Dataset], root: Path, taken: Collection[str]) -> Iterator[Described]:
    """Yield the tables of the source: for each dataset its table, and its ``<name>_tree`` unless that is a dataset's own table.

    ``root``: the folder of the definitions, for marts of that name. ``taken``: the names of all datasets.
    """
    for dataset in datasets:
        yield _record_table(dataset)
        if f"{dataset.name}_tree" not in taken:
            yield _tree_table(dataset, root)


def _record_table(dataset: Dataset) -> Described:
    config: Described = {"loaded_at_field": "_loaded_at"}
    if interval := expected_interval(dataset.suite):
        config["freshness"] = {"warn_after": period(interval)}
    lineage = [_column(name, kind, text) for name, kind, text in _LINEAGE]
    return {
        "name": dataset.name,
        "description": verbatim(f"{dataset.title.rstrip('.')}. One row per record."),
        "config": config,
        "columns": [*(_record_column(column, dataset) for column in dataset.columns), *lineage],
    }


def period(interval: timedelta) -> Described:
    """Return an interval as dbt has it, in the largest unit that fits exactly; seconds are rounded up to minutes."""
    minutes = -(-int(interval.total_seconds()) // 60)
    sizes = {"day": 24 * 60, "hour": 60, "minute": 1}
    unit = next(name for name, size in sizes.items() if minutes % size == 0)
    return {"count": minutes // sizes[unit], "period": unit}


def _record_column(column: Column, dataset: Dataset) -> Described:
    described = _column(column.name, column.type, " ".join(_sentences(column, dataset)))
    if column.name in dataset.personal:
        described["config"] = {"meta": {"personal": True}}
    if tests := [*_tests(column.name, dataset)]:
        described["data_tests"] = tests
    return described


def _column(name: str, kind: str, text: str) -> Described:
    described = {"name": verbatim(name), "quote": True, "data_type": kind}
    return described | ({"description": verbatim(text)} if text else {})


def _sentences(column: Column, dataset: Dataset) -> Iterator[str]:
    """Yield what is known of a column: its role, and what its rules demand."""
    if column.name == dataset.key:
        yield "The record's ID."
    elif column.name == dataset.parent:
        yield "The ID of the record above; null for a root."
    elif column.name == dataset.rest:
        yield "The other columns of the file."
    if column.name in dataset.personal:
        yield "Personal data."
    yield from dict.fromkeys(_sentence(rule) for rule in _rules_of(column.name, dataset))


def _sentence(rule: Mapping[str, Any]) -> str:
    """Return what a rule demands, and of which records if not of all."""
    kwargs, text = rule["kwargs"], rule_text({"meta": {}, **rule}).removesuffix(".")
    mostly, condition = kwargs.get("mostly"), kwargs.get("row_condition")
    limits = [f"of at least {100 * mostly:g} % of the records"] if mostly is not None else []
    limits += [f"where {condition}"] if condition else []
    limits += ["else a warning"] if rule.get("meta", {}).get("severity") == "warning" else []
    return f"{text} ({', '.join(limits)})." if limits else f"{text}."


def _rules_of(column: str, dataset: Dataset) -> Iterator[Mapping[str, Any]]:
    for rule in dataset.suite.get("expectations", []):
        if rule.get("kwargs", {}).get("column") == column:
            yield rule


# --- tests ---

_NEVER_SAID = ("mostly", "row_condition", "condition_parser")
"""Arguments of expectations that dbt's own tests do not have: a rule with one of them gets no test."""


def _tests(column: str, dataset: Dataset) -> Iterator[Any]:
    """Yield the tests of a column: those of the hierarchy, then those of the suite that dbt itself has."""
    said: set[str] = set()
    if column == dataset.key:
        yield from ("unique", "not_null")
        said = {"unique", "not_null"}
    if column == dataset.parent:
        to = f"source('{SOURCE}', '{dataset.name}')"
        yield {"relationships": {"arguments": {"to": to, "field": verbatim(quoted(dataset.key))}}}
    for rule in _rules_of(column, dataset):
        test = _test_of(rule, dataset.column(column).type)
        if test and not said & test.keys():
            said |= test.keys()
            severity = {"config": {"severity": "warn"}} if rule.get("meta", {}).get("severity") == "warning" else {}
            ((name, arguments),) = test.items()
            body = ({"arguments": arguments} if arguments else {}) | severity
            yield {name: body} if body else name


def _test_of(rule: Mapping[str, Any], kind: str) -> dict[str, Described] | None:
    """Return dbt's test that demands the same as an expectation, with its arguments; None if there is none."""
    kwargs = rule.get("kwargs", {})
    if any(kwargs.get(name) is not None for name in _NEVER_SAID):
        return None
    match rule.get("type"):
        case "expect_column_values_to_not_be_null":
            return {"not_null": {}}
        case "expect_column_values_to_be_unique":
            return {"unique": {}}
        case "expect_column_values_to_be_in_set" if kwargs.get("value_set"):
            return {
                "accepted_values": {"values": [_value(one) for one in kwargs["value_set"] if one is not None], "quote": False}
            }
    return None


def _value(value: object) -> str:
    """Return an accepted value as SQL: dbt's own quoting breaks at an apostrophe."""
    return verbatim(literal(str(value).lower() if isinstance(value, bool) else str(value)))


# --- the tree ---


def _tree_table(dataset: Dataset, root: Path) -> Described:
    """Describe the view ``<name>_tree``, or the mart of that name, which has the columns that its query says."""
    name = f"{dataset.name}_tree"
    mart = root / "sql" / "marts" / f"{name}.sql"
    if not mart.is_file():
        columns = [_column(*one) for one in _TREE]
        return {"name": name, "description": _TREE_TEXT.format(name=dataset.name), "columns": columns}
    query = mart.read_text(encoding="utf-8")
    described: Described = {"name": name, "description": verbatim(_prose(query, name))}
    known = {column: text for column, _, text in _TREE} | {dataset.key: _TREE[0][2], dataset.parent: _TREE[1][2]}
    if names := _names_selected(query):
        described["columns"] = [
            {"name": verbatim(one), "quote": True, **({"description": known[one]} if one in known else {})} for one in names
        ]
    return described


def _prose(query: str, name: str) -> str:
    """Return what a mart's opening comment says, without the lines that set something and without its name."""
    lines = [line for line in opening_comment(query) if not line.startswith(("materialized:", "unique:"))]
    prose = " ".join(lines).removeprefix(f"{name}:").strip()
    return prose[:1].upper() + prose[1:]


def _names_selected(query: str) -> list[str]:
    """Return the columns of a SELECT; none if it selects all of something, or cannot be parsed."""
    try:
        parsed = sqlglot.parse_one(query, read="postgres")
    except SqlglotError:
        return []
    names = parsed.named_selects if isinstance(parsed, exp.Query) else []
    return [] if "*" in names else [*names]
