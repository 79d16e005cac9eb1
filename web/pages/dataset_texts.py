"""Say what a dataset demands: its columns with their rules in words, and the rules of a whole file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.datasets.dataset import Dataset
from pipeline.report.rule_texts import rule_text

_BOUNDS = {
    "max_depth": "The tree has at most {} levels.",
    "min_depth": "The tree has at least {} levels.",
    "max_children": "A record has at most {} children.",
}


@dataclass(frozen=True)
class RuleText:
    """A rule in words; ``is_warning``: a record that breaks it is loaded nevertheless."""

    text: str
    is_warning: bool = False


@dataclass(frozen=True)
class ColumnText:
    """A column for people. ``role``: ID, parent, or what takes a file's other columns; empty for all others."""

    name: str
    type: str
    role: str
    rules: tuple[RuleText, ...]
    aliases: tuple[str, ...]
    masked: bool


def column_texts(dataset: Dataset) -> list[ColumnText]:
    """Return the columns of a dataset, in the table's order."""
    roles = {dataset.key: "ID", dataset.parent: "Parent", dataset.rest: "Other columns"}
    return [
        ColumnText(
            column.name,
            column.type,
            roles.get(column.name, ""),
            tuple(_of_column(dataset, column.name, is_required=column.required)),
            dataset.mapping.aliases.get(column.name, ()),
            column.name in dataset.personal,
        )
        for column in dataset.columns
    ]


def _of_column(dataset: Dataset, name: str, *, is_required: bool) -> list[RuleText]:
    said = [_rule(one) for one in _expectations(dataset) if one.get("kwargs", {}).get("column") == name]
    always = []
    if name == dataset.key:
        always.append(RuleText("No ID appears twice with different data."))
    if name == dataset.parent:
        always.append(RuleText("Empty, or the ID of a record in the file or already loaded; no circles."))
    filled = RuleText("Every record has a value.")
    if is_required and filled.text not in {one.text for one in said}:
        always.append(filled)
    return [*always, *said]


def other_rules(dataset: Dataset) -> list[RuleText]:
    """Return the rules that no single column has: expectations of several, limits of the tree, checks in SQL."""
    said = [_rule(one) for one in _expectations(dataset) if "column" not in one.get("kwargs", {})]
    bounds = [RuleText(text.format(f"{limit:,}")) for name, text in _BOUNDS.items() if (limit := getattr(dataset.bounds, name))]
    if dataset.bounds.single_root:
        bounds.append(RuleText("The tree has one root."))
    checks = [
        RuleText(_message(file.read_text(encoding="utf-8"))) for file in dataset.check_files if file.parent.name == dataset.name
    ]
    return [*said, *bounds, *checks]


def _expectations(dataset: Dataset) -> list[Mapping[str, Any]]:
    return [one for one in dataset.suite.get("expectations", []) if isinstance(one.get("kwargs", {}), Mapping)]


def _rule(said: Mapping[str, Any]) -> RuleText:
    whole = {"kwargs": {}, "meta": {}, **said}
    return RuleText(rule_text(whole), whole["meta"].get("severity") == "warning")


def _message(sql: str) -> str:
    """Return the message of a check in SQL, its first comment line."""
    first = next((line for line in sql.splitlines() if line.startswith("--")), "--")
    return f"Checked in SQL: {first.removeprefix('--').strip()}"
