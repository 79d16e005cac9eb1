-- numbers/below: how many records are below each record with children, but its own children.
create temporary table bulkhead_below (
    id text primary key,
    descendants numeric not null
) on commit drop
