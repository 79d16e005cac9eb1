"""Say what a rule demands, in a sentence that is true of good records: for lists of rules that are met and that are not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

_SHOWN = 5
"""Values of a set that are listed."""

Kwargs = Mapping[str, Any]


def rule_text(config: Mapping[str, Any]) -> str:
    """Return what an expectation demands. ``config``: type, kwargs, description, meta, as Great Expectations writes them.

    The description is that of the suite, or of an SQL check its ``expects``.
    """
    if description := config.get("description"):
        return str(description)
    name, kwargs = str(config["type"]), config["kwargs"]
    if "unexpected_rows_query" in kwargs:
        return str(config["meta"].get("message") or "A query finds no record.")
    if name in _TEXTS:
        return _TEXTS[name]({key: _whole(value) for key, value in kwargs.items()})
    return f"Expected: {name.removeprefix('expect_').replace('_', ' ')}."


def _whole(value: Any) -> Any:
    """Return a whole number without decimals: Great Expectations makes 3.0 of a suite's 3."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _range(kwargs: Kwargs, unit: str = "") -> str:
    least, most = kwargs.get("min_value"), kwargs.get("max_value")
    if least is not None and most is not None:
        return f"from {least} to {most}{unit}"
    return f"at least {least}{unit}" if least is not None else f"at most {most}{unit}"


def _set(kwargs: Kwargs) -> str:
    values = [str(value) for value in kwargs.get("value_set") or ()]
    more = f" and {len(values) - _SHOWN:,} more" if len(values) > _SHOWN else ""
    return ", ".join(values[:_SHOWN]) + more


_TEXTS: Mapping[str, Callable[[Kwargs], str]] = {
    "expect_column_values_to_not_be_null": lambda _: "Every record has a value.",
    "expect_column_values_to_be_null": lambda _: "No record has a value.",
    "expect_column_values_to_be_unique": lambda _: "No value appears twice.",
    "expect_column_values_to_match_regex": lambda kwargs: f"Values have the form {kwargs.get('regex')}",
    "expect_column_values_to_not_match_regex": lambda kwargs: f"No value has the form {kwargs.get('regex')}",
    "expect_column_values_to_be_in_set": lambda kwargs: f"Values are one of: {_set(kwargs)}.",
    "expect_column_values_to_not_be_in_set": lambda kwargs: f"Values are none of: {_set(kwargs)}.",
    "expect_column_values_to_be_between": lambda kwargs: f"Values are {_range(kwargs)}.",
    "expect_column_value_lengths_to_equal": lambda kwargs: f"Values have {kwargs.get('value')} characters.",
    "expect_column_value_lengths_to_be_between": lambda kwargs: f"Values have {_range(kwargs, ' characters')}.",
    "expect_table_row_count_to_be_between": lambda kwargs: f"The number of records is {_range(kwargs)}.",
}
