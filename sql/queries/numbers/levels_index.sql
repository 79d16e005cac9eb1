-- numbers/levels_index: an index by level.
create index on pg_temp.bulkhead_levels (depth)
