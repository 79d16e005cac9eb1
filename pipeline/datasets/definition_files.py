"""A dataset's definition as its two files, a suite and a table, and back; nothing is lost on either way."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from pipeline.datasets import table_text
from pipeline.datasets.dataset import Dataset, dataset_of_texts
from pipeline.datasets.definition import ColumnRules, Definition, check, check_name
from pipeline.datasets.table_text import TableColumn, TableText
from pipeline.errors import InvalidConfiguration, InvalidRequest
from pipeline.settings import ROOT

_NOT_NULL, _UNIQUE = "expect_column_values_to_not_be_null", "expect_column_values_to_be_unique"
_IN_SET, _LENGTH = "expect_column_values_to_be_in_set", "expect_column_value_lengths_to_be_between"
_FIELDS = {_NOT_NULL: "required", _UNIQUE: "unique", _IN_SET: "values", _LENGTH: "max_length"}
"""The field of a column that says an expectation."""

_OWN_META = frozenset({"title", "key", "parent", "parent_optional", "mapping", "shape", "clean", "search"})


class Files(NamedTuple):
    """The texts of the two files."""

    suite: str
    table: str


def render(definition: Definition, before: Dataset | None = None) -> Files:
    """Return the two files. ``before``: the dataset as it is, whose table has kept optional what became required since."""
    meta: dict[str, Any] = {"title": definition.title, "key": definition.key, "parent": definition.parent_column}
    if definition.parent is None and not definition.shape:
        meta["parent_optional"] = True
    if aliases := {one.name: list(one.headers) for one in definition.columns if one.headers}:
        meta["mapping"] = {"aliases": aliases}
    clean = {name: value for name, value in definition.clean.items() if name != "date_format"}
    if formats := {one.name: one.format for one in definition.columns if one.format}:
        clean["date_format"] = formats
    meta |= {name: value for name, value in (("shape", dict(definition.shape)), ("clean", clean)) if value}
    if searched := _searched(definition):
        meta["search"] = searched
    for name, value in definition.other_meta.items():
        if name != "search":
            meta[name] = {**value, **meta.get("mapping", {})} if name == "mapping" else value
    rules = [rule for column in definition.columns for rule in _rules(column, definition)]
    suite = {"name": definition.name, "meta": meta, "expectations": [*rules, *definition.other_rules]}
    return Files(json.dumps(suite, indent=2, ensure_ascii=False) + "\n", table_text.render(_table(definition, before)))


def _table(definition: Definition, before: Dataset | None) -> TableText:
    was = {column.name: column.required for column in before.columns} if before else {}
    kept = table_text.parse(before.table_sql, before.name) if before else None
    defaults = {column.name: column.default for column in kept.columns} if kept else {}
    columns = [
        TableColumn(
            one.name,
            one.type,
            one.name == definition.key or (one.required and "required" not in one.warn and was.get(one.name, before is None)),
            defaults.get(one.name),
        )
        for one in definition.columns
    ]
    parent, key = definition.parent_column, definition.key
    if definition.parent is None and parent not in {one.name for one in definition.columns}:
        columns.append(TableColumn(parent, "text"))
    indexes = kept.indexes if kept else ((f"{definition.name}_parent_key", (parent, key)),)
    title = " ".join(definition.title.split()) or definition.name
    return TableText(definition.name, tuple(columns), key, indexes, f"{title}. One row per record; merged on {key}.")


def _searched(definition: Definition) -> list[str]:
    """Return the columns that are searched: in the order of ``other_meta``, if a suite had another one than the table's."""
    names, order = [one.name for one in definition.columns if one.search], definition.other_meta.get("search", [])
    return [*(name for name in order if name in names), *(name for name in names if name not in order)]


def _rules(column: ColumnRules, definition: Definition) -> list[dict[str, Any]]:
    """Return the expectations that a column's fields say."""
    is_key, on = column.name == definition.key, {"column": column.name}
    is_said = any(
        one.get("type") == _NOT_NULL and one.get("kwargs", {}).get("column") == column.name for one in definition.other_rules
    )
    found: list[tuple[str, dict[str, Any], dict[str, Any]]] = []
    if is_said:
        pass  # in words of its own
    elif is_key:
        told = {"code": "missing_id", "message": "The record has no ID.", "hint": "Give every record its own ID."}
        found.append((_NOT_NULL, on, told))
    elif column.required:
        told = {"code": "missing_value", "message": f"The {column.name} is missing."}
        found.append((_NOT_NULL, on, told))
    if column.unique and not is_key:
        found.append((_UNIQUE, on, {"message": f"The {column.name} is not unique."}))
    if column.values:
        told = {"message": f"The {column.name} is none of the values that are allowed."}
        found.append((_IN_SET, {**on, "value_set": list(column.values)}, told))
    if column.max_length:
        told = {"code": "value_too_long", "message": f"The {column.name} is longer than {column.max_length:,} characters."}
        found.append((_LENGTH, {**on, "max_value": column.max_length}, told))
    return [
        {
            "type": type_,
            "kwargs": kwargs,
            "meta": {**told, **({"severity": "warning"} if _FIELDS[type_] in column.warn else {})},
        }
        for type_, kwargs, told in found
    ]


def definition_of(dataset: Dataset) -> Definition:
    """Return the definition that a dataset's two files say."""
    meta = dataset.suite.get("meta", {})
    aliases, formats = meta.get("mapping", {}).get("aliases", {}), meta.get("clean", {}).get("date_format", {})
    hidden = dataset.parent if meta.get("parent_optional") else None
    columns = {
        one.name: ColumnRules(
            one.name,
            tuple(aliases.get(one.name, ())),
            _own_type(one.type),
            required=one.required,
            unique=one.name == dataset.key,
            format=formats.get(one.name) if isinstance(formats, Mapping) else None,
            search=one.name in meta.get("search", ()),
        )
        for one in dataset.columns
        if one.name != hidden
    }
    others = []
    for rule in dataset.suite.get("expectations", []):
        name = rule.get("kwargs", {}).get("column")
        changed = _with_rule(columns[name], rule, dataset) if name in columns else None
        if changed is None:
            others.append(rule)
        else:
            columns[name] = changed
    other_meta = {name: value for name, value in meta.items() if name not in _OWN_META}
    if more := {name: value for name, value in meta.get("mapping", {}).items() if name != "aliases" and value}:
        other_meta["mapping"] = more
    if (order := meta.get("search")) and order != [one.name for one in columns.values() if one.search]:
        other_meta["search"] = order
    clean = {name: value for name, value in meta.get("clean", {}).items() if name != "date_format"}
    parent = None if hidden else dataset.parent
    return Definition(
        dataset.name,
        dataset.title,
        dataset.key,
        parent,
        tuple(columns.values()),
        meta.get("shape", {}),
        clean,
        other_meta,
        tuple(others),
    )


def _own_type(said: str) -> str:
    """Return a type as we spell it; one that a table of the checkout alone can have stays as it is."""
    try:
        return table_text.type_of(said)
    except ValueError:
        return said


def _with_rule(column: ColumnRules, rule: Mapping[str, Any], dataset: Dataset) -> ColumnRules | None:
    """Return the column with an expectation as a field of it; None if a field cannot say exactly that."""
    kwargs = rule.get("kwargs", {})
    of_field: dict[str, dict[str, Any]] = {
        _NOT_NULL: {"required": True},
        _UNIQUE: {"unique": True},
        _IN_SET: {"values": tuple(map(str, kwargs.get("value_set") or ()))},
        _LENGTH: {"max_length": kwargs.get("max_value")},
    }
    said = of_field.get(str(rule.get("type")))
    if said is None:
        return None
    warns = rule.get("meta", {}).get("severity") == "warning"
    changed = replace(column, **said, warn=(*column.warn, *said) if warns else column.warn)
    whole = Definition(dataset.name, dataset.title, dataset.key, dataset.parent, (changed,))
    return changed if dict(rule) in _rules(changed, whole) else None


def dataset_from(name: str, files: Files) -> Dataset:
    """Return the dataset that two files define, checked as files of a checkout are, and strictly. Raises InvalidRequest."""
    try:
        check_name(name)
        parsed = table_text.parse(files.table, name)
        dataset = dataset_of_texts(name, files.suite, table_text.render(parsed), ROOT)
        check(definition_of(dataset))
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError, InvalidConfiguration) as error:
        raise InvalidRequest(f"The definition cannot be used: {str(error).rstrip('.')}.") from error
    if dataset.suite.get("name") != name:
        raise InvalidRequest(
            f"The suite is called {dataset.suite.get('name')!r}, and the dataset {name!r}. Give both one name."
        )
    return dataset
