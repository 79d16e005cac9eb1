"""Prefixes: codes such as 01, 0101, 010121, whose parent is the longest code that they begin with.

A range such as 31-33 stands for each code in it: it is the parent of 311 and of 321.
"""

from __future__ import annotations

from itertools import pairwise

from pipeline.read.read_result import ReadResult
from pipeline.read.shapes.shaped_rows import ShapedFile, store
from pipeline.staging.staging_query import parent_of

_MOST_IN_A_RANGE = 1000
_CODES = """
create or replace temp table codes as
select *, coalesce($ranges and bounds.first != '' and length(bounds.first) = length(bounds.last)
    and bounds.first <= bounds.last, false) as is_range
from (
    select _row, nullif({compared}, '') as code, nullif({own}, '') as own,
        regexp_extract({code}, '^([A-Za-z]*)([0-9]+) ?[-–] ?([A-Za-z]*)([0-9]+)$',
            ['letters', 'first', 'other', 'last']) as ends,
        regexp_extract({code}, '^([A-Za-z0-9]+) ?[-–] ?([A-Za-z0-9]+)$', ['first', 'last']) as bounds
    from {rows}
)
"""
# A range of which the codes can be told: its ends have the same letters, and digits after them.
_IS_COUNTABLE = f"""
(is_range and ends.letters = ends.other and length(ends.first) between 1 and 9
    and try_cast(ends.last as bigint) - try_cast(ends.first as bigint) between 0 and {_MOST_IN_A_RANGE})
"""
_COVERED = f"""
create or replace temp table covered as
select code, own, _row, false as is_range, 0 as low, 0 as high from codes where code is not null
union all
select ends.letters || lpad(member::varchar, length(ends.first)::integer, '0'), own, _row, true, low, high
from (
    select *, unnest(range(low, high + 1)) as member from (
        select *, try_cast(ends.first as bigint) as low, try_cast(ends.last as bigint) as high
        from codes where {_IS_COUNTABLE}
    )
)
"""
# A code that stands alone needs no window: that is most of a file.
_CROWDED = "create or replace temp table crowded as select code, is_range from covered group by all having count(*) > 1"
# Of several ranges that cover a code the narrowest is its parent; others are candidates too unless it lies within them.
_TARGETS = """
create or replace temp table targets as
with narrowest as (
    select *, first_value(low) over inside as least, first_value(high) over inside as most
    from covered semi join crowded using (code, is_range)
    window inside as (partition by code, is_range order by high - low, _row)
)
select code, is_range, min_by(own, [high - low, _row]) as own,
    count(distinct own) filter (where low > least or high < most or (low = least and high = most)) as candidates,
    array_to_string(list_sort(list(distinct own))[1:5], ', ') as ids
from narrowest group by code, is_range
union all
select code, is_range, own, 1, own from covered anti join crowded using (code, is_range)
"""
_PENDING = """
create or replace temp table pending as
select *, length(stem) as size
from (select _row, code, is_range, if(is_range, bounds.first, code) as stem from codes where code is not null)
"""


def shape_prefix(file: ShapedFile) -> ReadResult:
    """Make parents of codes. Warn of the codes that would stand between a code and its parent, and do not exist."""
    code = file.column("column")
    has_ranges = "-" not in str(file.said.get("separator", ""))  # otherwise it stands between steps
    file.execute(
        _CODES.format(
            rows=file.rows, code=code, compared=_compared(code, str(file.said.get("separator", ""))), own=file.own_id or code
        ),
        ranges=has_ranges,
    )
    for statement in (_COVERED, _CROWDED, _TARGETS, _PENDING):
        file.execute(statement)
    file.execute(
        "create or replace temp table parents (_row bigint, above varchar, own varchar, candidates bigint, ids varchar)"
    )
    _warn_of_ranges(file)
    _take(file, "p.code", "t.is_range and not p.is_range")
    file.execute("delete from targets where is_range and code in (select code from targets where not is_range)")
    if separator := file.said.get("separator"):
        _by_steps(file, str(separator))
    else:
        _by_lengths(file)
    _find_ambiguous(file)
    file.execute(
        """insert into shaped_ids by name
        select _row, codes.own as id, parents.own as parent, null as label from codes left join parents using (_row)"""
    )
    file.execute(
        "drop table codes; drop table covered; drop table crowded; drop table targets; drop table parents; drop table pending"
    )
    return store(file, "", key_from=file.id_column or (None if file.own_id else file.named[file.said["column"]]))


def _compared(code: str, separator: str) -> str:
    """Return the SQL of a code as it is compared: 1.2. is 1.2."""
    if not separator:
        return code
    ends = "".join(rf"\x{{{ord(character):x}}}" for character in separator)
    return f"regexp_replace({code}, '(?:{ends})+$', '')"


def _warn_of_ranges(file: ShapedFile) -> None:
    """Warn of each range whose codes cannot be told, such as A00-B99: no record is placed below it for its sake."""
    file.find(
        f"select _row, code as value, 'Which codes the range ' || code || ' covers cannot be told.' as message"
        f" from codes where is_range and not ({_IS_COUNTABLE})",
        code="unclear_range",
        severity="warning",
        column=file.named[file.said["column"]] if file.own_id else file.staging.dataset.key,
        hint=f"A range has the same letters, and as many digits, at both ends, and at most {_MOST_IN_A_RANGE:,} codes.",
    )


def _by_lengths(file: ShapedFile) -> None:
    """Look for the longest prefix of the lengths that are said; of any length where none is."""
    lengths = file.said.get("lengths")
    if lengths:
        _find_odd_lengths(file, sorted(lengths))
        _warn_of_gaps(file, _missing_by_lengths(sorted(lengths)))
    else:
        found = file.staging.connection.execute("select distinct length(code) from covered").fetchall()
        lengths = [length for (length,) in found]
    for length in sorted(lengths, reverse=True):
        _take(file, f"left(stem, {length})", f"size > {length}")


def _take(file: ShapedFile, prefix: str, where: str) -> None:
    """Take the records with this prefix as their code for the parents of the pending rows for which there are any."""
    file.execute(
        f"""insert into parents select p._row, t.code, t.own, t.candidates, t.ids
        from pending p join targets t on t.code = {prefix} where {where}"""
    )
    file.execute("create or replace temp table pending as select pending.* from pending anti join parents using (_row)")


def _by_steps(file: ShapedFile, separator: str) -> None:
    """Look for the code without its last step, then without the last two, and so on."""
    file.execute(f"create or replace temp table pending as select *, {parent_of('code', separator)} as up from pending")
    _warn_of_gaps(
        file,
        "select up as missing, _row from pending anti join targets on targets.code = up where up is not null",
    )
    while file.count("select count(*) from pending where up is not null"):
        _take(file, "up", "true")
        file.execute(
            f"""create or replace temp table pending as
            select * replace ({parent_of("up", separator)} as up) from pending where up is not null"""
        )


def _missing_by_lengths(lengths: list[int]) -> str:
    cases = " ".join(f"when size = {size} then left(stem, {size_above})" for size_above, size in pairwise(lengths))
    if not cases:
        return "select null as missing, null as _row limit 0"
    return f"""select missing, _row from (select _row, case {cases} end as missing from pending) as p
        anti join targets on targets.code = missing where missing is not null"""


def _warn_of_gaps(file: ShapedFile, query: str) -> None:
    """Say once how many codes are missing between others, and how many records lack their immediate parent for that.

    ``query`` gives (missing, _row): the code without its last step, for each record whose own is missing.
    """
    total, examples = file.examples(f"select missing from ({query}) group by missing order by min(_row)")
    if total:
        records = file.count(f"select count(*) from ({query})")
        were = "1 record was" if records == 1 else f"{records:,} records were"
        placed = f"{were} placed below the next shorter code"
        file.staging.add_finding(
            "code_gap",
            f"{total:,} {'code that others begin with does' if total == 1 else 'codes that others begin with do'} not exist:"
            f" {examples}. {placed}, or at the top.",
            severity="warning",
            hint="Add the codes if the levels between should be there.",
        )


def _find_odd_lengths(file: ShapedFile, lengths: list[int]) -> None:
    said = ", ".join(map(str, lengths))
    file.find(
        f"select _row, code as value, 'The code has ' || size || ' characters; codes have {said}.' as message from pending"
        f" where size not in ({said})",
        code="malformed_code",
        column=file.named[file.said["column"]] if file.own_id else file.staging.dataset.key,
        hint="Correct the code, or add its length to lengths in the shape.",
    )


def _find_ambiguous(file: ShapedFile) -> None:
    file.find(
        """select _row, above as value,
            'Several records may be the parent: ' || ids || ' have the code ' || above || '.' as message
        from parents where candidates > 1""",
        code="ambiguous_parent",
        hint="Write each code once, and ranges that do not overlap.",
    )
