"""Group findings that say the same, so that a page or an e-mail has room for them, however many findings there are.

Two findings say the same if code, severity, column, the kind of the value (none, empty, number, text) and the message agree,
the message without the value itself and its numbers. So do their hints, without numbers and what is in quotes, unless there
are many different ones. A group knows how many they are and the first few of them; every single one is in the files
(report.py).
"""

from __future__ import annotations

from os.path import commonprefix
from pathlib import Path
from typing import Any

import duckdb
import orjson

from pipeline.sqlfiles import literal
from pipeline.staging.database import number

GROUPS_MAX = 1_000
FIRST_ROWS = 5
SHAPES_MAX = 10
"""Groups for one code in one column with values of one kind; if the messages have more shapes, they form one group."""

LIST_LENGTH = 50
"""A cycle's path and the related rows are cut after so many ids here, with an ellipsis."""

FILE = "groups.json"

_FIRSTS = ("code", "severity", "message", "place", "row", "id", "line", "column", "value", "hint", "related", "cycle")


def write_groups(connection: duckdb.DuckDBPyConnection, folder: Path) -> None:
    """Write groups.json beside ``folder``'s findings.parquet; ``connection`` is to the staging database, for its room.

    ``total`` findings, ``groups`` in all, and ``items``, the most frequent of them, at most GROUPS_MAX: code, severity,
    column, kind, message, hint, count, and ``first``, its first FIRST_ROWS findings in the order of the rows.
    """
    connection.execute(f"create or replace temp view listed as from {literal(str(folder / 'findings.parquet'))}")
    if not number(connection, "select count(*) from listed"):
        (folder / FILE).write_bytes(orjson.dumps({"total": 0, "groups": 0, "items": []}))
        return
    connection.execute(_GROUPED)
    counts = connection.execute("select coalesce(sum(count), 0)::bigint, count(*) from grouped").fetchall()
    items = _dicts(connection, "from grouped order by count desc, firsts[1] limit $most", {"most": GROUPS_MAX})
    firsts = _firsts(connection)
    for item in items:
        shared = _shared(item.pop("beginnings"), item.pop("ends"))
        item["message"] = item["message"] or shared
        item["first"] = [firsts[number] for number in item.pop("firsts")]
    ((total, groups),) = counts
    (folder / FILE).write_bytes(orjson.dumps({"total": total, "groups": groups, "items": items}))


# What differs in hints of one kind: what is in quotes, the ID that was meant, code points, how many descendants, numbers.
_MASKS = (
    (r'"[^"]*"(, "[^"]*")*', '"…"'),
    (r"Did you mean [^?]*[?]", "Did you mean …?"),
    (r"(U[+][0-9A-F]{4,6}( [A-Z0-9-]+)*)(, U[+][0-9A-F]{4,6}( [A-Z0-9-]+)*)*", "U+…"),
    (r" ?[0-9][0-9,]* records of the file are its descendants[.]", ""),
    (r"[0-9]+([.,][0-9]+)*", "…"),
)
_HINT_PATTERN = "hint"
for _found, _mask in _MASKS:
    _HINT_PATTERN = f"regexp_replace({_HINT_PATTERN}, {literal(_found)}, {literal(_mask)}, 'g')"

# A value is taken out of its message where it stands as a word of its own, the first time that it does: a value like "e"
# must not tear the other words apart. A circle's path follows a colon; no two of them are alike. Where the messages still
# differ, a group shows what they share at both ends.
_GROUPED = f"""
create temp table grouped as
with words as (
    select number, code, severity, "column", message, hint,
        case when value is null then 'none' when value = '' then 'empty'
            when regexp_full_match(value, '[+-]?[0-9]+([.,][0-9]+)?') then 'number' else 'text' end as kind,
        ' ' || message || ' ' as said,
        ' ' || left(value, 60) as word
    from listed
),
places as (
    select *, list_min(list_filter(
        [instr(said, word || ' '), instr(said, word || '.'), instr(said, word || ','), instr(said, word || ':'),
            instr(said, '"' || substr(word, 2) || '"')],
        lambda spot: spot > 0
    )) as place
    from words
),
masked as (
    select *, trim(case when coalesce(length(word), 0) > 1 and place is not null
        then left(said, place) || '…' || substr(said, place + length(word)) else said end) as without_value
    from places
),
patterns as (
    select *, regexp_replace(
        case when contains(message, ' → ') then split_part(without_value, ': ', 1) || '.' else without_value end,
        '[0-9]+([.,][0-9]+)*', '…', 'g'
    ) as pattern
    from masked
),
alike as (
    select code, severity, "column", kind, pattern,
        count(*) as count, min(number, {FIRST_ROWS}) as firsts,
        min(message) as message, max(message) as message_to,
        min(without_value) as unvalued, max(without_value) as unvalued_to,
        min(hint) as hint, max(hint) as hint_to, count(hint) as hints, {_HINT_PATTERN} as hint_pattern
    from patterns
    group by code, severity, "column", kind, pattern, hint_pattern
),
shapes as (
    select code, severity, "column", kind,
        count(distinct pattern) <= {SHAPES_MAX} as is_few, count(distinct hint_pattern) <= {SHAPES_MAX} as has_few_hints
    from alike group by code, severity, "column", kind
),
shaped as (
    select alike.*, case when is_few then pattern end as shape, case when has_few_hints then hint_pattern end as hint_shape
    from alike join shapes on alike.code = shapes.code and alike.severity = shapes.severity
        and alike."column" is not distinct from shapes."column" and alike.kind = shapes.kind
)
select code, severity, "column", kind,
    case when min(message) = max(message_to) then min(message)
        when min(unvalued) = max(unvalued_to) then min(unvalued)
        else shape end as message,
    [min(pattern), max(pattern)] as beginnings,
    [min(reverse(pattern)), max(reverse(pattern))] as ends,
    case when sum(hints) < sum(count) then null when min(hint) = max(hint_to) then min(hint) else hint_shape end as hint,
    sum(count)::bigint as count,
    list_sort(flatten(list(firsts)))[1:{FIRST_ROWS}] as firsts
from shaped
group by code, severity, "column", kind, shape, hint_shape
"""


def _shared(beginnings: list[str], ends: list[str]) -> str:
    """Return what all of some sorted texts begin and end with, in whole words, with an ellipsis between.

    ``beginnings`` are the first and the last of them, ``ends`` the same of them reversed.
    """
    begin, end = commonprefix(beginnings), commonprefix(ends)[::-1]  # noqa: RUF071 - characters are meant
    return f"{begin[: begin.rfind(' ') + 1]}…{end[end.find(' ') :] if ' ' in end else ''}"


def _firsts(connection: duckdb.DuckDBPyConnection) -> dict[int, dict[str, Any]]:
    """Return the first findings of the groups, by their numbers."""
    shown = ", ".join(_bounded(name) for name in _FIRSTS)
    found = _dicts(
        connection,
        f"""select number, {shown} from listed semi join (
            select unnest(firsts) as number from (from grouped order by count desc, firsts[1] limit $most)
        ) wanted using (number)""",
        {"most": GROUPS_MAX},
    )
    return {one.pop("number"): one for one in found}


def _bounded(name: str) -> str:
    """Return the SQL of a finding's field, of a list only its beginning."""
    if name not in ("related", "cycle"):
        return f'"{name}"'
    beginning = f"list_append({name}[1:{LIST_LENGTH}], '…')"
    return f"case when len({name}) > {LIST_LENGTH} then {beginning} else {name} end as {name}"


def _dicts(connection: duckdb.DuckDBPyConnection, query: str, given: dict[str, Any]) -> list[dict[str, Any]]:
    answer = connection.execute(query, given)
    names = [str(column[0]) for column in answer.description]
    return [dict(zip(names, row, strict=True)) for row in answer.fetchall()]
