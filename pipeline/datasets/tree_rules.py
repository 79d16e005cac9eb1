"""The rules that a suite sets for values in the hierarchy (``meta.rules``); docs/datasets.md has an example of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.display import meant

NAMES = ("branch_only", "code_prefix", "leaf_only", "ranks", "unique_siblings")


@dataclass(frozen=True)
class TreeRules:
    """What values must hold in the tree that results. Empty: no such rule."""

    rank_column: str | None = None  # its value says of what kind a record is
    ranks: tuple[str, ...] = ()  # the kinds, from root to leaf
    strict_ranks: bool = False  # no rank is left out: roots have the first, children the one after their parent's
    sibling_columns: tuple[str, ...] = ()  # together unique among the children of one parent, and among the roots
    folded_siblings: bool = False  # compared without regard to case, Unicode form and outer spaces
    prefix_separator: str | None = None  # an id begins with its parent's and this, which may be empty; None: no rule
    leaf_only: tuple[str, ...] = ()  # columns in which only records without children may have a value
    branch_only: tuple[str, ...] = ()  # columns in which only records with children may have one

    @property
    def checks(self) -> list[str]:
        """The names of the SQL checks that hold a tree to them."""
        declared = {
            "wrong_rank": bool(self.ranks),
            "unknown_rank": bool(self.ranks),
            "duplicate_sibling": bool(self.sibling_columns),
            "wrong_prefix": self.prefix_separator is not None,
            "value_in_branch": bool(self.leaf_only),
            "value_in_leaf": bool(self.branch_only),
        }
        return [name for name, is_declared in declared.items() if is_declared]

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that they look at, beside key and parent, each once."""
        named = ([self.rank_column] if self.rank_column else []) + [*self.sibling_columns, *self.leaf_only, *self.branch_only]
        return tuple(dict.fromkeys(named))


def tree_rules(said: Mapping[str, Any], types: Mapping[str, str], apart: Sequence[str | None]) -> TreeRules:
    """Return the rules that ``meta.rules`` states. ``types``: of the table's columns; ``apart``: its key, parent and rest.

    Raises ValueError, which names what is possible.
    """
    columns = [name for name in types if name not in apart]
    column, ranks, strict = _ranks(said.get("ranks"), types, columns)
    siblings, folded = _siblings(said.get("unique_siblings"), types, columns)
    leaf_only = _columns("leaf_only", said.get("leaf_only"), columns)
    branch_only = _columns("branch_only", said.get("branch_only"), columns)
    if both := sorted({*leaf_only} & {*branch_only}):
        raise ValueError(f"meta.rules has {both[0]} in leaf_only and in branch_only; then no record could have a value in it")
    return TreeRules(column, ranks, strict, siblings, folded, _separator(said.get("code_prefix")), leaf_only, branch_only)


def _ranks(said: Any, types: Mapping[str, str], columns: Sequence[str]) -> tuple[str | None, tuple[str, ...], bool]:
    if said is None:
        return None, (), False
    form = 'meta.rules.ranks is an object like {"column": "kind", "order": ["Country", "City"], "strict": false}'
    if not isinstance(said, dict) or not {"column", "order"} <= said.keys() <= {"column", "order", "strict"}:
        raise ValueError(form)
    order, strict = said["order"], said.get("strict", False)
    if not isinstance(said["column"], str) or not isinstance(order, list) or type(strict) is not bool:
        raise ValueError(form)
    if not all(isinstance(kind, str) and kind for kind in order):
        raise ValueError(form)
    if len(order) < 2 or len({*order}) < len(order):
        raise ValueError("meta.rules.ranks.order is a list of two kinds or more, from root to leaf, each once")
    (column,) = _columns("ranks.column", said["column"], columns)
    if not types[column].startswith(("text", "varchar", "character varying")):
        raise ValueError(f"meta.rules.ranks.column is a column of text, but {column} is {types[column]}")
    return column, tuple(order), strict


def _siblings(said: Any, types: Mapping[str, str], columns: Sequence[str]) -> tuple[tuple[str, ...], bool]:
    folded = False
    if isinstance(said, dict):
        folded = said.get("folded", False)
        if "columns" not in said or said.keys() - {"columns", "folded"} or type(folded) is not bool:
            raise ValueError(
                'meta.rules.unique_siblings is a column, a list of columns, or {"columns": ["name"], "folded": true}'
            )
        said = said["columns"]
    named = _columns("unique_siblings", said, columns)
    for name in named:
        if types[name].startswith("json"):
            raise ValueError(f"meta.rules.unique_siblings cannot compare {name}, which is {types[name]}")
    return named, folded


def _separator(said: Any) -> str | None:
    if said is None or said is False:
        return None
    if said is True:
        return ""
    if isinstance(said, dict) and said.keys() == {"separator"} and isinstance(said["separator"], str) and said["separator"]:
        return str(said["separator"])
    raise ValueError('meta.rules.code_prefix is true, false or {"separator": "."}')


def _columns(rule: str, said: Any, columns: Sequence[str]) -> tuple[str, ...]:
    """Return the columns that a rule names: one, or a list. Raises ValueError if there are no such columns."""
    if said is None:
        return ()
    named = [said] if isinstance(said, str) else said
    possible = f"possible: {', '.join(columns) or 'none, since the table has no other columns than key, parent and rest'}"
    if not isinstance(named, list) or not named or not all(isinstance(name, str) for name in named):
        raise ValueError(f"meta.rules.{rule} is a column or a list of columns; {possible}")
    for name in named:
        if name not in columns:
            raise ValueError(f"meta.rules.{rule} names {name!r}.{meant(name, columns)} Columns {possible}")
    return tuple(dict.fromkeys(named))
