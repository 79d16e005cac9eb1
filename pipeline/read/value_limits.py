"""Check characters and lengths that no id, or no value at all, may have: on all of `raw`, in SQL."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pipeline.read.invisible_characters import code_point, escaped, first_invisible, seen_as, without_joiners
from pipeline.read.limits import Limits
from pipeline.read.raw_tables import RawTables, printable
from pipeline.read.read_result import ReadResult
from pipeline.sqlfiles import quoted
from pipeline.staging.cleaning import rows_to_cast

# Invisible characters, which are there by mistake: controls, no-break and zero-width spaces, marks for the direction of text.
_INVISIBLE = r"[\x00-\x1f\x7f-\x{a0}\x{ad}\x{200b}-\x{200f}\x{2028}-\x{202e}\x{2060}-\x{206f}\x{feff}]"
_IS_INVISIBLE = f"""case when regexp_matches(value, $bound)
    then regexp_matches({without_joiners("value")}, $bound) else false end"""
_OUTER_SPACE = r"^[^\P{Zs}\x{a0}]|[^\P{Zs}\x{a0}]$"  # any space that is not in the class above
_FETCH_ROWS = 10_000
_SHOWN = 60

# ``written`` is the value as it is in the file, if a rule of the upload has changed it since.
_OFFENDERS = """
with offenders as (
    select _row, value from (select _row, {column} as value from {rows}) where {condition}
),
told as (select _row, {written} as value from offenders {originals})
select _row, first_line + _row - first_row, left(value, 1000)
from told asof left join lines on _row >= first_row
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
    rows = rows_to_cast(staging.connection, dataset)
    of_ids, of_others = _rules_of_ids(table, staging.limits), _rules_of_others(table, staging.limits)
    for name in table.columns:
        for rule in of_ids if name in (dataset.key, dataset.parent) else of_others:
            _apply(staging, name, rule, rows)


def _rules_of_ids(table: ReadResult, limits: Limits) -> list[Rule]:
    if table.is_plain:
        outer = "starts_with(value, $bound) or ends_with(value, $bound)"
        rules = [Rule("invalid_character", outer, " ", _say_outer_space)]
    else:
        rules = [
            Rule("invalid_character", _IS_INVISIBLE, _INVISIBLE, _say_invisible),
            Rule("invalid_character", "regexp_matches(value, $bound)", _OUTER_SPACE, _say_outer_space),
        ]
    return rules + _rules_of_length(table, limits.id_bytes)


def _rules_of_others(table: ReadResult, limits: Limits) -> list[Rule]:
    rules = [Rule("invalid_character", "contains(value, $bound)", "\0", _say_invisible)] if table.has_nul else []
    return rules + _rules_of_length(table, limits.value_bytes)


def _rules_of_length(table: ReadResult, most: int) -> list[Rule]:
    too_long = Rule("value_too_long", "strlen(value) > $bound", most, _say_too_long(most))
    return [too_long] if table.longest_bytes > most else []


def _apply(staging: RawTables, column: str, rule: Rule, rows: str) -> None:
    cursor = staging.connection.cursor()  # its own, since findings are written while offenders are read
    of_file = {"written": "value", "originals": ""}
    if rows != "raw":
        joined = f"join (select _row, {quoted(column)} as written from raw) using (_row)"
        of_file = {"written": "written", "originals": joined}
    query = _OFFENDERS.format(column=quoted(column), rows=rows, condition=rule.condition, **of_file)
    cursor.execute(query, {"bound": rule.bound})
    while offenders := cursor.fetchmany(_FETCH_ROWS):
        for row, line, value in offenders:
            message, hint = rule.say(value)
            staging.add_finding(rule.code, message, row=row, line=line, column=column, value=value, hint=hint)
    cursor.close()


def _say_invisible(value: str) -> tuple[str, str]:
    wrong = first_invisible(value)
    named = f"the character {code_point(wrong)}" if wrong else "a character"
    shown, better = escaped(value[:_SHOWN]), printable(seen_as(value[:_SHOWN]))
    rule = ' Spaces are mended by clean={"trim": true, "collapse_spaces": true}.' if wrong.isspace() else ""
    hint = f'Write "{better}" instead of "{shown}", here and wherever the ID is used.{rule}'
    return f"The value contains {named}, which is invisible.", hint


def _say_outer_space(value: str) -> tuple[str, str]:
    hint = f'Write {value.strip()!r}, here and wherever the id is used, or let it be done: clean={{"trim": true}}.'
    return "The id begins or ends with a space.", hint


def _say_too_long(most: int) -> Callable[[str], tuple[str, str]]:
    def say(value: str) -> tuple[str, str]:
        return f"The value is longer than {most:,} bytes.", "Shorten it."

    return say
