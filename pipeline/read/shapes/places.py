"""Places in a tree: each row says the whole path from the root to itself, as levels or as one text.

A place is the path's steps with STEP between them, whatever the file writes there. A row's parent is the row at the place
without the last step; where there is none, the node is implied, and so are those above it.
"""

from __future__ import annotations

from pipeline.read.shapes.shaped_rows import ShapedFile
from pipeline.sqlfiles import literal
from pipeline.staging.staging_query import parent_of

STEP = "\x1f"
"""Between the steps of a place; no id may have it."""

_ABOVE = parent_of("place", STEP)
_LAST = f"split_part(place, {literal(STEP)}, -1)"
_GIVEN = """
create or replace temp table known_places as
select place, min_by(own, _row) as id, count(distinct own) as ids, min(_row) as _row
from placed where place is not null group by place
"""


def link(file: ShapedFile, *, separator: str, begins: str = "") -> None:
    """Fill ``shaped_ids`` and ``implied`` from ``placed`` (_row, place, own); ``place`` is null for a row that has none.

    ``own`` is the id that a row has of its own; without any, an id is the place as the file would write it, with
    ``separator`` and with ``begins`` before it. Add a finding for a row whose parent may be one of several.
    """
    file.execute(_GIVEN)
    _imply(file)
    written = f"{literal(begins)} || replace({{}}, {literal(STEP)}, {literal(separator)})"
    id_of = written.format("place")
    _find_collisions(file, id_of)
    own = file.own_id is not None
    above = f"coalesce(up.id, {written.format('up_place')})"
    for target, first, source in (
        ("shaped_ids", "_row", "placed"),
        ("implied", "first, level", "implied_places"),
    ):
        has_own = own and target == "shaped_ids"
        file.execute(
            f"""insert into {target} by name
            select {first}, {"own" if has_own else id_of} as id, {above} as parent, {_LAST} as label
            from (select *, {_ABOVE} as up_place from {source})
            left join (select place as up_at, id from known_places where $own) as up on up_at = up_place""",
            own=own,
        )
    if own:
        _find_ambiguous(file)
    file.execute("drop table known_places; drop table implied_places; drop table placed")


def _imply(file: ShapedFile) -> None:
    """Make ``implied_places`` (first, level, place): the places above others at which no row is, one level up a round."""
    file.execute("create or replace temp table implied_places (first bigint, level integer, place varchar)")
    file.execute("create or replace temp table frontier as select place, _row as first from known_places")
    while True:
        file.execute(
            f"""create or replace temp table frontier as
            with above as (select {_ABOVE} as place, min(first) as first from frontier group by all)
            select place, min(first) as first from above where place is not null group by place"""
        )
        file.execute(
            """create or replace temp table frontier as
            select place, first from frontier anti join known_places using (place) anti join implied_places using (place)"""
        )
        if not file.count("select count(*) from frontier"):
            break
        file.execute(
            f"""insert into implied_places
            select first, length(place) - length(replace(place, {literal(STEP)}, '')), place from frontier"""
        )
    file.execute("drop table frontier")


def _find_collisions(file: ShapedFile, id_of: str) -> None:
    """Find rows whose id, made of a place, is that of another place too: a step has the separator in it."""
    if file.own_id is not None:
        return
    file.find(
        f"""with places as (select place, _row from known_places union all select place, first from implied_places),
        twice as (select {id_of} as id from places group by id having count(*) > 1)
        select _row, {id_of} as value,
            'The id ' || left({id_of}, 100) || ' would stand for several places in the tree.' as message
        from places where {id_of} in (select id from twice)""",
        code="ambiguous_parent",
        hint="Choose a separator that no name has in it: the option separator of the shape.",
    )


def _find_ambiguous(file: ShapedFile) -> None:
    """Find rows below a place at which several records are."""
    file.find(
        f"""with several as (
            select place, string_agg(distinct own, ', ' order by own) as ids from placed
            semi join (select place from known_places where ids > 1) using (place) group by place
        )
        select below._row, {_LAST} as value,
            'Several records may be the parent: ' || left(several.ids, 200) || ' have the same path.' as message
        from several join (select _row, {_ABOVE} as up from placed) as below on below.up = several.place""",
        code="ambiguous_parent",
        hint="Write each path once, or name the parents by their ids, in a column of parents.",
    )
