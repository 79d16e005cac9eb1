-- load_lock: two attempts at one part go one after the other.
select pg_advisory_xact_lock(hashtextextended(%(import_id)s || '/' || %(part_no)s::text, 0))
