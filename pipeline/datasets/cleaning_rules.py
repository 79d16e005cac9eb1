"""The rules that clean values: ``meta.clean`` of a suite and the option ``clean`` of an upload, which override it key by key.

A rule is a value, or an object {"value": ..., "columns": [...]} that limits it to some columns; false or null switches it off.
docs/files.md has an example of each.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

FLAGS = ("unquote_excel", "strip_leading_apostrophe", "trim", "collapse_spaces", "nfc")
_WITH_VALUES = ("null_values", "case", "thousands", "decimal", "date_format")
VALUE_RULES = FLAGS + _WITH_VALUES
"""The rules that change values, in the order in which they are applied."""

OF_WHOLE_CELLS = ("unquote_excel", "strip_leading_apostrophe")
"""Those about what stands around a cell's whole text, an indentation included."""

_OF_ROWS = ("skip_rows", "skip_totals")
RULES = VALUE_RULES + _OF_ROWS
DATE_PARTS = {"YYYY": "%Y", "MM": "%m", "DD": "%d", "HH": "%H", "mm": "%M", "ss": "%S", "M": "%m", "D": "%d"}
_DATE_TOKEN = re.compile("YYYY|MM|DD|HH|mm|ss|M|D|[^A-Za-z0-9%']")
_RANGE = re.compile(r"([0-9]{1,15})(?:-([0-9]{1,15}))?")


@dataclass(frozen=True)
class ValueRule:
    """A rule that changes values. ``columns``: those that it is limited to; None: those that it is meant for."""

    name: str
    value: Any
    columns: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Cleaning:
    """All rules of a file: those that change values in their order, the rows to skip, and whether totals are skipped."""

    rules: tuple[ValueRule, ...] = ()
    skip_rows: tuple[tuple[int, int], ...] = ()  # first and last
    skip_totals: bool = False


def parse_cleaning(said: object) -> Cleaning:
    """Return the rules of an object such as ``meta.clean``. Raises ValueError, saying what is wrong and what is possible."""
    if not isinstance(said, Mapping):
        raise ValueError(f"clean is an object of rules ({', '.join(RULES)})")
    if unknown := [name for name in said if name not in RULES]:
        raise ValueError(f"clean has no rule {unknown[0]!r}; its rules: {', '.join(RULES)}")
    asked = {name: value for name, value in said.items() if value is not None and value is not False}
    rules = tuple(_value_rule(name, asked[name]) for name in VALUE_RULES if name in asked)
    separators = [rule.value for rule in rules if rule.name in ("decimal", "thousands")]
    if len(separators) > len(set(separators)):
        raise ValueError("clean.decimal and clean.thousands must be two different characters")
    if asked.get("skip_totals", True) is not True:
        raise ValueError(f"clean.skip_totals is true or false, not {asked['skip_totals']!r}")
    return Cleaning(rules, _ranges(asked.get("skip_rows", [])), "skip_totals" in asked)


def check_columns(cleaning: Cleaning, names: Collection[str], *, takes_others: bool) -> None:
    """Raise ValueError if a rule names a column that the dataset has no place for."""
    named = {name: rule.name for rule in cleaning.rules for name in columns_of(rule)}
    unknown = [] if takes_others else [name for name in named if name not in names]
    if unknown:
        has = ", ".join(names)
        raise ValueError(f"clean.{named[unknown[0]]} names the column {unknown[0]!r}; the dataset has: {has}")


def columns_of(rule: ValueRule) -> tuple[str, ...]:
    """Return the columns that a rule names."""
    return tuple(rule.value) if rule.name == "date_format" else rule.columns or ()


def _value_rule(name: str, said: object) -> ValueRule:
    if name == "date_format":
        return ValueRule(name, _date_formats(said))
    columns: tuple[str, ...] | None = None
    if isinstance(said, Mapping):
        limited, allowed = said.get("columns"), {"columns"} if name in FLAGS else {"columns", "value"}
        columns = _texts(limited)
        if set(said) != allowed or columns is None:
            raise ValueError(f"clean.{name} as an object has {' and '.join(sorted(allowed))}, a list of columns")
        said = said.get("value", True)
    return ValueRule(name, _checked(name, said), columns)


def _checked(name: str, said: object) -> Any:
    """Return a rule's value. Raises ValueError if the rule cannot have it."""
    if name in FLAGS:
        if said is not True:
            raise ValueError(f'clean.{name} is true, false or {{"columns": [...]}}, not {said!r}')
    elif name == "case":
        if said not in ("upper", "lower"):
            raise ValueError(f"clean.case is upper or lower, not {said!r}")
    elif name == "null_values":
        texts = _texts(said)
        if texts is None:
            raise ValueError(f"clean.null_values is a list of texts, not {said!r}")
        return texts
    elif name == "decimal":
        if said not in (",", "."):
            raise ValueError(f'clean.decimal is "," or ".", not {said!r}')
    elif not isinstance(said, str) or said not in (",", ".", " ", "'", "_"):
        raise ValueError(f'clean.thousands is "." or "," or " " or "\'" or "_", not {said!r}')
    return said


def _texts(said: object) -> tuple[str, ...] | None:
    """Return a list of texts that is not empty; None for anything else."""
    is_list = isinstance(said, list | tuple) and bool(said) and all(isinstance(one, str) for one in said)
    return tuple(said) if isinstance(said, list | tuple) and is_list else None


def _date_formats(said: object) -> dict[str, str]:
    if not isinstance(said, Mapping) or not all(isinstance(form, str) for form in said.values()):
        raise ValueError('clean.date_format is an object of columns and their formats, such as {"born": "DD.MM.YYYY"}')
    for form in said.values():
        if form != "excel":
            strptime_format(form)
    return dict(said)


def strptime_format(form: str) -> str:
    """Return ``DD.MM.YYYY`` as ``%d.%m.%Y``. Raises ValueError for a format without year, month and day, each once."""
    tokens = _DATE_TOKEN.findall(form)
    parts = [DATE_PARTS[token] for token in tokens if token in DATE_PARTS]
    if "".join(tokens) != form or len(parts) > len(set(parts)) or not {"%Y", "%m", "%d"}.issubset(parts):
        raise ValueError(
            f"clean.date_format does not know {form!r}: a format has YYYY, MM and DD, perhaps HH, mm and ss, such as"
            " DD.MM.YYYY, or is excel"
        )
    return "".join(DATE_PARTS.get(token, token) for token in tokens)


def _ranges(said: object) -> tuple[tuple[int, int], ...]:
    """Return rows and ranges of rows, such as [1, "5-7"], as pairs."""
    found = []
    for one in said if isinstance(said, list | tuple) else [said]:
        match = None if isinstance(one, bool) else _RANGE.fullmatch(str(one))
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
        if not 1 <= first <= last:
            raise ValueError(f'clean.skip_rows is a list of numbers and ranges, such as [3, "10-12"], not {said!r}')
        found.append((first, last))
    return tuple(found)
