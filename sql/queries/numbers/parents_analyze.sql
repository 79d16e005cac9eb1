-- numbers/parents_analyze: statistics for that walk.
analyze pg_temp.bulkhead_parents
