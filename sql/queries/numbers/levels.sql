-- numbers/levels: the records with children, level by level from the roots.
create temporary table bulkhead_levels (
    id text not null,
    parent text,
    children bigint not null,
    depth integer not null
) on commit drop
