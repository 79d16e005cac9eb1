"""Check characters and lengths that no id, or no value at all, may have: on all of `raw`, in SQL."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pipeline.read.limits import Limits
from pipeline.read.raw_tables import RawTables
from pipeline.read.read_result import ReadResult
from pipeline.sqlfiles import quoted

# Invisible characters, which are there by mistake: controls, no-break and zero-width spaces, marks for the direction of text.
_INVISIBLE = r"[\x00-\x1f\x7f-\x{a0}\x{ad}\x{200b}-\x{200f}\x{2028}-\x{202e}\x{2060}-\x{206f}\x{feff}]"
_INVISIBLE_RANGES = (
    (0x00, 0x1F), (0x7F, 0xA0), (0xAD, 0xAD), (0x200B, 0x200F), (0x2028, 0x202E), (0x2060, 0x206F), (0xFEFF, 0xFEFF),
)  # fmt: skip
_OUTER_SPACE = r"^[^\P{Zs}\x{a0}]|[^\P{Zs}\x{a0}]$"  # any space that is not in the class above
_FETCH_ROWS = 10_000

_OFFENDERS = """
with offenders as (
    select _row, value from (select _row, {column} as value from raw) where {condition}
)
select _row, first_line + _row - first_row, left(value, 1000)
from offenders asof left join lines on _row >= first_row
order by _row
"""


@dataclass(frozen=True)
class Rule:
    """What a value must not be. ``condition`` is SQL on ``value``; ``say`` returns message and hint for a wrong value."""

    code: str
    condition: str
    bound: str | int
    say: Callable[[str], tuple[str, str]]


def check_values(staging: RawTables, table: ReadResult) -> None:
    """Add a finding for every value that breaks a rule. Rules that no value can break, as the reader saw, are skipped."""
    dataset = staging.dataset
    of_ids, of_others = _rules_of_ids(table, staging.limits), _rules_of_others(table, staging.limits)
    for name in table.columns:
        for rule in of_ids if name in (dataset.key, dataset.parent) else of_others:
            _apply(staging, name, rule)


def _rules_of_ids(table: ReadResult, limits: Limits) -> list[Rule]:
    if table.is_plain:
        outer = "starts_with(value, $bound) or ends_with(value, $bound)"
        rules = [Rule("invalid_character", outer, " ", _say_outer_space)]
    else:
        matches = "regexp_matches(value, $bound)"
        rules = [
            Rule("invalid_character", matches, _INVISIBLE, _say_invisible),
            Rule("invalid_character", matches, _OUTER_SPACE, _say_outer_space),
        ]
    return rules + _rules_of_length(table, limits.id_bytes)


def _rules_of_others(table: ReadResult, limits: Limits) -> list[Rule]:
    rules = [Rule("invalid_character", "contains(value, $bound)", "\0", _say_invisible)] if table.has_nul else []
    return rules + _rules_of_length(table, limits.value_bytes)


def _rules_of_length(table: ReadResult, most: int) -> list[Rule]:
    too_long = Rule("value_too_long", "strlen(value) > $bound", most, _say_too_long(most))
    return [too_long] if table.longest_bytes > most else []


def _apply(staging: RawTables, column: str, rule: Rule) -> None:
    cursor = staging.connection.cursor()  # its own, since findings are written while offenders are read
    cursor.execute(_OFFENDERS.format(column=quoted(column), condition=rule.condition), {"bound": rule.bound})
    while offenders := cursor.fetchmany(_FETCH_ROWS):
        for row, line, value in offenders:
            message, hint = rule.say(value)
            staging.add_finding(rule.code, message, row=row, line=line, column=column, value=value, hint=hint)
    cursor.close()


def _say_invisible(value: str) -> tuple[str, str]:
    points = [ord(character) for character in value]
    wrong = next((p for p in points if any(low <= p <= high for low, high in _INVISIBLE_RANGES)), None)
    named = f"the character U+{wrong:04X}" if wrong is not None else "a character"
    return f"The value contains {named}, which is invisible.", "Remove it: two ids that look the same must be the same."


def _say_outer_space(value: str) -> tuple[str, str]:
    return "The id begins or ends with a space.", f"Write {value.strip()!r}, here and wherever the id is used."


def _say_too_long(most: int) -> Callable[[str], tuple[str, str]]:
    def say(value: str) -> tuple[str, str]:
        return f"The value is longer than {most:,} bytes.", "Shorten it."

    return say
