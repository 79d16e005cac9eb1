-- numbers/parents_index: an index for the walk from the roots down.
create index on pg_temp.bulkhead_parents (parent, id)
