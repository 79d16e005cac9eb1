"""A dataset's definition in one piece, as people see and change it; definition_files.py writes it as its two files.

A rule that a column's fields cannot say stays in ``other_rules``, and what the suite's ``meta`` says besides in ``other_meta``:
neither is lost on the way from the files to a definition and back.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from pipeline.contracts.object_keys import DATASET_NAME
from pipeline.datasets import table_text
from pipeline.datasets.dataset import NOT_NAMES
from pipeline.display import meant
from pipeline.errors import InvalidRequest

WARNABLE = ("required", "unique", "values", "max_length")
"""Rules whose breach may be a warning."""

NAME_CHARACTERS = 50
"""The longest name of a dataset that is created here: the names of its view and its index are longer, and have a limit."""

_OF_COLUMNS = re.compile(r"expect_(column|compound_columns|multicolumn|select_column)[a-z_]*")
_RUNS_SQL = ("unexpected_rows_query", "row_condition", "condition_parser", "parse_strings_as_datetimes")


@dataclass(frozen=True)
class ColumnRules:
    """A column with its rules. ``format``: how files write its date; ``warn``: those of WARNABLE that only warn.

    ``search``: its values have an index, by which records are found.
    """

    name: str
    headers: tuple[str, ...] = ()
    type: str = "text"
    required: bool = False
    unique: bool = False
    values: tuple[str, ...] | None = None
    max_length: int | None = None
    format: str | None = None
    warn: tuple[str, ...] = ()
    search: bool = False


@dataclass(frozen=True)
class Definition:
    """A dataset. ``parent`` is None where files have no column for it."""

    name: str
    title: str
    key: str
    parent: str | None
    columns: tuple[ColumnRules, ...]
    shape: Mapping[str, Any] = field(default_factory=dict)
    clean: Mapping[str, Any] = field(default_factory=dict)
    other_meta: Mapping[str, Any] = field(default_factory=dict)
    other_rules: tuple[Mapping[str, Any], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the definition as the API shows it; ``definition_from_json`` returns the same one."""
        return asdict(self)

    @property
    def parent_column(self) -> str:
        """Return the table's column of parents: one of the file, or one that we add."""
        names = {column.name.casefold() for column in self.columns}
        added = (name for name in ("parentId", "parent_id", "parent_ref", "parent_key") if name.casefold() not in names)
        return self.parent or next(added, "parent_of_record")


def definition_from_json(said: Mapping[str, Any]) -> Definition:
    """Return the definition that the API was sent. Raises InvalidRequest."""
    try:
        columns = tuple(_column_from_json(one) for one in said["columns"])
        rest = {name: said.get(name) or {} for name in ("shape", "clean", "other_meta")}
        rules = tuple(said.get("other_rules") or ())
        name = str(said["name"])
        parent = said.get("parent") or None
        made = Definition(
            name, " ".join(str(said.get("title") or name).split()), str(said["key"]), parent, columns, **rest, other_rules=rules
        )
        check(made)
    except (KeyError, TypeError, ValueError) as error:
        what = f"{error.args[0]} is missing" if isinstance(error, KeyError) else str(error)
        raise InvalidRequest(f"The definition cannot be used: {what}.") from error
    return made


def _column_from_json(said: Mapping[str, Any]) -> ColumnRules:
    known = set(ColumnRules.__dataclass_fields__)
    if unknown := [name for name in said if name not in known]:
        raise ValueError(f"a column has no {unknown[0]!r}.{meant(str(unknown[0]), known)} It has: {', '.join(sorted(known))}")
    values = said.get("values")
    return ColumnRules(
        name=str(said["name"]),
        headers=tuple(map(str, said.get("headers") or ())),
        type=table_text.type_of(str(said.get("type") or "text")),
        required=bool(said.get("required")),
        unique=bool(said.get("unique")),
        values=tuple(map(str, values)) if values else None,
        max_length=int(said["max_length"]) if said.get("max_length") else None,
        format=str(said["format"]) if said.get("format") else None,
        warn=tuple(name for name in WARNABLE if name in (said.get("warn") or ())),
        search=bool(said.get("search")),
    )


def check_name(name: str) -> None:
    """Raise ValueError for a name that a new dataset cannot have."""
    if not DATASET_NAME.fullmatch(name):
        raise ValueError(f"a dataset's name has a-z, 0-9 and _, and begins with a letter; {name!r} does not")
    if len(name) > NAME_CHARACTERS:
        raise ValueError(f"a dataset's name has at most {NAME_CHARACTERS} characters")
    if name in (*NOT_NAMES, "new"):
        raise ValueError(f"no dataset can be called {name}")


def check(definition: Definition) -> None:
    """Raise ValueError if a definition names what it does not have, or has a rule that runs SQL."""
    names = [column.name for column in definition.columns]
    for name in names:
        table_text.check_column_name(name)
    if len({name.casefold() for name in names}) < len(names):
        raise ValueError("two columns have names that are the same, or differ in case only")
    for role, named in (("key", definition.key), ("parent", definition.parent)):
        if named is not None and named not in names:
            raise ValueError(f"the {role} is {named!r}, which is not among the columns: {', '.join(names)}")
    if definition.key == definition.parent:
        raise ValueError(f"the column {definition.key} cannot be key and parent at once")
    for column in definition.columns:
        is_text = column.type == "text" or column.type.startswith(("varchar", "char"))
        if not is_text and (column.values or column.max_length):
            raise ValueError(f"allowed values and a maximum length are for texts, and {column.name} is {column.type}")
        if column.search and not is_text:
            raise ValueError(f"only texts are searched, and {column.name} is {column.type}")
        if column.name in (definition.key, definition.parent) and not is_text:
            raise ValueError(f"the column {column.name} is {column.type}; key and parent are text, so that no digit is lost")
    for rule in definition.other_rules:
        _check_rule(rule)
    if "\0" in json.dumps(definition.to_json(), ensure_ascii=False) or "\\u0000" in json.dumps(definition.to_json()):
        raise ValueError("it has a NUL character, which PostgreSQL cannot keep")


def _check_rule(rule: Mapping[str, Any]) -> None:
    """Raise ValueError for an expectation that is not about columns, or brings SQL of its own."""
    type_, kwargs = str(rule.get("type", "")), rule.get("kwargs", {})
    if not _OF_COLUMNS.fullmatch(type_) or not isinstance(kwargs, Mapping):
        raise ValueError(f"the rule {type_!r} is no expectation about columns; a check in SQL is a file of the checkout")
    if given := [name for name in _RUNS_SQL if name in kwargs]:
        raise ValueError(f"the rule {type_} has {given[0]}, and SQL is only taken from files of the checkout")


def rule_changes(before: Definition, after: Definition, table_changed: bool) -> list[str]:
    """Return in words how two definitions of a dataset differ, beside columns and types of the table; none if they do not."""
    found = [f"title: {after.title}"] if before.title != after.title else []
    was = {column.name: column for column in before.columns}
    for column in after.columns:
        old = was.get(column.name, ColumnRules(column.name, type=column.type))
        for name in ("required", "unique", "values", "max_length", "format", "headers", "search"):
            if getattr(old, name) != getattr(column, name):
                found.append(f"column {column.name}: {name} is {_shown(getattr(column, name))}")
        found += [f"column {column.name}: {name} only warns" for name in column.warn if name not in old.warn]
        found += [f"column {column.name}: {name} is an error" for name in old.warn if name not in column.warn]
    for name in ("shape", "clean", "other_meta", "other_rules"):
        if getattr(before, name) != getattr(after, name):
            found.append(f"{name.replace('other_', 'other ')} changed")
    return found or (["the table changed"] if table_changed else [])


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(value) or "none"
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
