-- The parent {value} is neither in the file nor in the warehouse.
-- code: missing_parent
-- column: parent
-- expects: Every parent is in the file or in the warehouse.
-- hint: Add the parent to the file, or correct its spelling.
with

-- what is left of an id when case, accents, punctuation and leading zeros are taken off
wanted as (
    select distinct
        orphans.parent,
        ltrim(regexp_replace(strip_accents(lower(orphans.parent)), '[^\p{L}\p{N}]', '', 'g'), '0') as core
    from orphans
),

there as (
    select
        edges.id,
        ltrim(regexp_replace(strip_accents(lower(edges.id)), '[^\p{L}\p{N}]', '', 'g'), '0') as core
    from edges
    where exists (select 1 from orphans)
),

alike as (
    select
        wanted.parent,
        min(there.id) as id
    from wanted
    inner join there on wanted.core = there.core
    where wanted.core != ''
    group by wanted.parent
)

select
    orphans._row,
    orphans.parent as value,
    case when alike.id is not null then 'Did you mean ' || alike.id || '?' end as hint
from orphans
left join alike on orphans.parent = alike.parent
