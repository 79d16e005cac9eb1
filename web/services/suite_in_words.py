"""Say in words what a dataset expects of its files: its columns, its expectations, its SQL checks and the rules of its tree.

The suite and the check files are read as they are now. Great Expectations is not imported, which takes seconds: the words
are those of pipeline/report/rule_texts.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.datasets.dataset import Dataset
from pipeline.report.rule_results import RULE_LENGTH
from pipeline.report.rule_texts import rule_text
from pipeline.validate.sql_check_file import Check, read_check

FAILED = "expectation_failed"
"""The code of an expectation that has none of its own."""


@dataclass(frozen=True)
class Rule:
    """A rule in words: what it demands, of which column, and what its finding says."""

    text: str
    column: str | None
    severity: str
    code: str
    message: str = ""
    hint: str = ""
    key: tuple[str, str | None] = ("", None)  # by which validation runs name it: the words of the report, and the column


def expectations(dataset: Dataset) -> list[Rule]:
    """Return the expectations of the suite, in its order."""
    return [_expectation(one) for one in dataset.suite.get("expectations", [])]


def tree_rules(dataset: Dataset) -> list[Rule]:
    """Return the rules of the hierarchy: those of every dataset, then the limits and rules that the suite declares."""
    said = {**_limits(dataset), **_declared(dataset)}
    return [
        _check(dataset, check, said.get(check.name))
        for check, folder in _checks(dataset)
        if folder in ("every", "bounds", "rules")
    ]


def own_checks(dataset: Dataset) -> list[Rule]:
    """Return the dataset's own SQL checks."""
    return [_check(dataset, check, None) for check, folder in _checks(dataset) if folder == dataset.name]


def _checks(dataset: Dataset) -> Iterator[tuple[Check, str]]:
    for path in dataset.check_files:
        yield read_check(path), path.parent.name


def _expectation(one: Mapping[str, Any]) -> Rule:
    meta, kwargs = one.get("meta", {}), one.get("kwargs", {})
    is_warning = one.get("severity") in ("warning", "info")
    severity = meta.get("severity", "warning" if is_warning else "error")
    text = rule_text({**one, "kwargs": kwargs, "meta": meta})
    column = kwargs.get("column")
    said = meta.get("message", "")
    return Rule(text, column, severity, meta.get("code", FAILED), said, meta.get("hint", ""), (text[:RULE_LENGTH], column))


def _check(dataset: Dataset, check: Check, text: str | None) -> Rule:
    column = {"key": dataset.key, "parent": dataset.parent}.get(check.column, check.column or None)
    key = (check.expects[:RULE_LENGTH], None)
    return Rule(text or check.expects, column, check.severity, check.code, hint=check.hint, key=key)


def _limits(dataset: Dataset) -> dict[str, str]:
    limits = dataset.bounds
    return {
        "max_depth_exceeded": f"The tree has at most {limits.max_depth} levels.",
        "max_children_exceeded": f"A record has at most {limits.max_children} children.",
        "several_roots": "There is only one root.",
        "min_depth_not_reached": f"A record without children is on level {limits.min_depth} or deeper.",
    }


def _declared(dataset: Dataset) -> dict[str, str]:
    rules = dataset.tree_rules
    order = " → ".join(rules.ranks)
    after = "the next one after" if rules.strict_ranks else "one that comes after"
    alike = ", compared without case and outer spaces" if rules.folded_siblings else ""
    between = f"and “{rules.prefix_separator}”" if rules.prefix_separator else ""
    return {
        "unknown_rank": f"{rules.rank_column} is one of: {', '.join(rules.ranks)}.",
        "wrong_rank": f"{rules.rank_column} is {after} that of the parent: {order}.",
        "duplicate_sibling": f"No two records below one parent have the same {_and(rules.sibling_columns)}{alike}.",
        "wrong_prefix": f"Each ID begins with the ID of its parent {between}".rstrip() + ".",
        "value_in_branch": f"Only records without children have a value in {_and(rules.leaf_only)}.",
        "value_in_leaf": f"Only records with children have a value in {_and(rules.branch_only)}.",
    }


def _and(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)
