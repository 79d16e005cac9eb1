-- ID {value} differs from {path} only in case, Unicode form, or leading zeros.
-- code: similar_id
-- severity: warning
-- column: key
-- expects: No two IDs differ only in case, Unicode form, or leading zeros.
-- hint: If they are one record, use one ID. If not, nothing needs to change: IDs are kept exactly as written.
with odd as (
    -- a whole number without leading zeros has one spelling: a file of only such IDs is skipped
    select exists(
        select 1 from edges
        where try_cast(edges.id as bigint)::varchar is distinct from edges.id
    ) as found
),

cores as (
    select
        edges._row,
        edges.id,
        coalesce(nullif(ltrim(nfc_normalize(lower(edges.id)), '0'), ''), '0') as core
    from edges
    where (select odd.found from odd)
),

groups as (
    select
        cores.core,
        arg_min(cores.id, cores._row) as id,
        min(cores._row, 11) as rows,
        min(cores.id, 6) as ids
    from cores
    group by cores.core
    having count(*) > 1 and count(cores._row) > 0
)

select
    groups.rows[1] as _row,
    groups.id as value,
    array_to_string(list_filter(groups.ids, lambda other: other != groups.id)[1:5], ', ') as path, -- noqa: RF03
    groups.rows[2:]::varchar[] as related
from groups
