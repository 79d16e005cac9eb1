"""The SQL of each rule that changes values: what becomes of one text. Every value that a rule is not about stays as it is."""

from __future__ import annotations

from pipeline.datasets.cleaning_rules import ValueRule, strptime_format
from pipeline.sqlfiles import literal

_SPACE = r"[\s\p{Z}]+"
_OUTER_SPACE = r"[\s\p{Z}\x{feff}\x{200b}]+"
_EXCEL_TEXT = '="([^"]|"")*"'
_SPACES = {" ": r"[ \x{a0}\x{202f}\x{2009}]", "'": "['’]", ".": "[.]"}
_SERIAL = r"[0-9]{1,7}([.][0-9]+)?"
_LAST_SERIAL = 2_958_466  # the day after 9999-12-31


def cleaned_value(rule: ValueRule, column: str, value: str, *, is_number: bool) -> str:
    """Return the SQL of a value of ``column`` after the rule; ``value`` is the SQL of the text before it.

    ``is_number``: whether the column has the type of a number.
    """
    if rule.name == "null_values":
        return f"case when {value} in ({', '.join(map(literal, rule.value))}) then null else {value} end"
    if rule.name == "case":
        return f"{rule.value}({value})"
    if rule.name == "thousands":
        return _without_thousands(value, rule.value)
    if rule.name == "decimal":
        return _with_point(value, is_number=is_number) if rule.value == "," else value
    if rule.name == "date_format":
        form = rule.value[column]
        return _from_serial(value) if form == "excel" else _from_date(value, form)
    return _FLAGS[rule.name].replace("{v}", value)


_FLAGS = {
    "unquote_excel": f"""case when regexp_full_match({{v}}, {literal(_EXCEL_TEXT)})
        then replace({{v}}[3:-2], '""', '"') else {{v}} end""",
    "strip_leading_apostrophe": "case when starts_with({v}, chr(39)) then {v}[2:] else {v} end",
    "trim": f"regexp_replace(regexp_replace({{v}}, {literal('^' + _OUTER_SPACE)}, ''), {literal(_OUTER_SPACE + '$')}, '')",
    "collapse_spaces": f"regexp_replace({{v}}, {literal(_SPACE)}, ' ', 'g')",
    "nfc": "nfc_normalize({v})",
}


def changes_count(rule: ValueRule, before: str) -> str:
    """Return the SQL of whether a change of ``before`` is one to report; _with_point makes another, so that a cast fails."""
    return f"not contains({before}, '.')" if rule.name == "decimal" else "true"


def _without_thousands(value: str, separator: str) -> str:
    """Return the SQL of a number without what separates its thousands; only if all groups but the first have three digits."""
    between, point = _SPACES.get(separator, separator), "," if separator == "." else "[.]" if separator == "," else "[.,]"
    grouped = f"[+-]?[0-9]{{1,3}}({between}[0-9]{{3}})+({point}[0-9]*)?"
    bare = f"regexp_replace({value}, {literal(between)}, '', 'g')"
    return f"case when regexp_full_match({value}, {literal(grouped)}) then {bare} else {value} end"


def _with_point(value: str, *, is_number: bool) -> str:
    """Return the SQL of a number with a point for its decimal comma.

    In a column of numbers, one with a point is not one with a decimal comma: 1.234 may be either of two numbers. Its point
    becomes a comma, which no cast accepts, so that it is a finding.
    """
    comma, point = literal("[+-]?[0-9]*,[0-9]+"), literal("[+-]?[0-9]*[.][0-9]+")
    refused = f"when regexp_full_match({value}, {point}) then replace({value}, '.', ',')" if is_number else ""
    return f"case when regexp_full_match({value}, {comma}) then replace({value}, ',', '.') {refused} else {value} end"


def _from_date(value: str, form: str) -> str:
    """Return the SQL of a date in ISO 8601, with its time if the format has one; only of a text in the whole format."""
    spelled = strptime_format(form)
    has_time = any(part in spelled for part in ("%H", "%M", "%S"))
    iso = "%Y-%m-%dT%H:%M:%S" if has_time else "%Y-%m-%d"
    return f"coalesce(strftime(try_strptime({value}, {literal(spelled)}), {literal(iso)}), {value})"


def _from_serial(value: str) -> str:
    """Return the SQL of the date of Excel's serial number in the 1900 date system; with its time if it has one.

    Day 60 is 1900-02-29, which never was; the days before it count from one day later (ECMA-376, part 1, 18.17.4.1).
    """
    number = f"try_cast({value} as double)"
    days = f"(floor({number})::integer + case when {number} < 60 then 1 else 0 end)"
    date = f"(date '1899-12-30' + {days})"
    seconds = f"round(({number} - floor({number})) * 86400)::integer"
    moment = f"strftime({date}::timestamp + to_seconds({seconds}), '%Y-%m-%dT%H:%M:%S')"
    spelled = f"case when {number} = floor({number}) then strftime({date}, '%Y-%m-%d') else {moment} end"
    is_serial = f"""case when regexp_full_match({value}, {literal(_SERIAL)})
        then {number} >= 1 and {number} < {_LAST_SERIAL} and floor({number}) != 60 else false end"""
    return f"case when {is_serial} then {spelled} else {value} end"
