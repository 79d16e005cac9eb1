"""Missing parents: why each is missing, and how many records of the file are its descendants.

Both are computed only if a parent is missing, and slips in spelling only for up to GUESSED_MOST parents: a file that lacks a
million parents has another problem than spelling. The other causes are in parent_causes.py.
"""

from __future__ import annotations

import duckdb

from pipeline.staging import ancestors
from pipeline.staging.database import number
from pipeline.validate.parent_causes import find_causes

GUESSED_MOST = 1_000
"""Up to so many missing parents, a likely spelling is looked for."""

CORE = r"ltrim(regexp_replace(strip_accents(lower({id})), '[^\p{{L}}\p{{N}}]', '', 'g'), '0')"
"""SQL of an id without case, accents, punctuation and leading zeros."""

_WHOLE = r"regexp_replace(id, '^([0-9]+)[.]0+$', '\1')"
_ORPHANS = """
create or replace table orphans as
select _row, parent from links
where parent is not null and above is null and parent not in (select id from warehouse_edges)
"""
_MISSING = """
create or replace table missing as
with below as (
    select orphans.parent, count(*) as records
    from tops join orphans on tops.root = orphans._row where tops.number > 0 group by orphans.parent
),
named as (select parent, count(*) as records from orphans group by parent)
select named.parent, greatest(named.records, coalesce(below.records, 0)) as records,
    coalesce(causes.alike, spellings.id) as alike, causes.hint
from named left join below using (parent) left join spellings using (parent) left join causes using (parent)
"""

_UP = "select number, nullif(above, number) as above from edges anti join unrooted using (number)"

_ALIKE = f"""
create or replace temp table spellings as
with wanted as (
    select distinct parent, {CORE.format(id="parent")} as core from orphans anti join causes using (parent)
),
there as (select id, {CORE.format(id="id")} as core from edges)
select wanted.parent, min(there.id) as id
from wanted join there on wanted.core = there.core where wanted.core != '' group by wanted.parent
"""

# Two texts one slip apart (a character more, less, another, or two swapped) share a text that lacks one character of each, or
# one of them whole (W. Garbe's symmetric deletes).
_SLIPS = """
insert into spellings
with wanted as (
    select distinct parent from orphans anti join spellings using (parent) anti join causes using (parent)
    where length(parent) between 4 and 64 and regexp_matches(parent, '\\p{L}')
),
shorter as (select parent, unnest(list_append(gaps, parent)) as stem from (
    select parent, [parent[:i - 1] || parent[i + 1:] for i in range(1, length(parent) + 1)] as gaps from wanted
)),
near as (select id, unnest(list_append(gaps, id)) as stem from (
    select id, [id[:i - 1] || id[i + 1:] for i in range(1, length(id) + 1)] as gaps from edges
    where length(id) between 3 and 65 and regexp_matches(id, '\\p{L}')
)),
found as (
    select distinct shorter.parent, near.id from shorter join near using (stem)
    where damerau_levenshtein(shorter.parent, near.id) = 1
)
select parent, min(id) from found group by parent having count(*) = 1
"""


# Two records at least: the one parent of one record says nothing.
_ROOT = """
insert into causes
select orphans.parent, null, format(
    'No record lacks a parent, and no other parent is missing. If "{}" is the root, add its record, or declare that it means'
    || ' no parent: no_parent_values={}.', any_value(orphans.parent), any_value(orphans.parent)
)
from orphans anti join spellings using (parent) anti join causes using (parent)
where not exists (from links where parent is null)
group by orphans.parent having count(*) > 1
"""


def find_orphans(connection: duckdb.DuckDBPyConnection, *, of_loaded: bool = False) -> int:
    """Make ``orphans`` (_row, parent), the records whose parent does not exist, and ``missing`` (parent, records, alike, hint).

    ``records``: how many of the file's records are descendants of that parent, its children included; ``alike``: the id that it
    was probably meant to be, or null; ``hint``: why it is missing and what to do, where that is known. Reads ``links``,
    ``warehouse_edges``, ``edges``, and ``unrooted`` of cycles.find_cycles. Return how many parents are missing.
    """
    connection.execute(_ORPHANS)
    missing = number(connection, "select count(distinct parent) from orphans")
    connection.execute("create or replace temp table spellings (parent varchar, id varchar)")
    connection.execute("create or replace temp table tops (number bigint, root bigint)")
    if missing:
        ancestors.find_root(connection, _UP, into="tops")
    find_causes(connection, missing, of_loaded=of_loaded)
    if 0 < missing <= GUESSED_MOST:
        connection.execute(_ALIKE)
        connection.execute(_SLIPS)
    if missing == 1 and not of_loaded:
        connection.execute(_ROOT)
    connection.execute(_MISSING)
    return missing


def likely_spellings(parents: str) -> str:
    """Return a query of the ids (one column, id) that ``parents``, a relation (id), may be misspellings of."""
    width = "(select mode(length(id)) from nodes)"
    ways = ("upper(id)", "lower(id)", "trim(id)", "ltrim(id, '0')", f"lpad(id, greatest(length(id), {width})::integer, '0')")
    spelled = " union ".join(f"select {way} as id from {parents}" for way in (*ways, "nfc_normalize(id)", _WHOLE))
    return f"select id from ({spelled}) where id != '' and (select count(*) from {parents}) <= {GUESSED_MOST}"
