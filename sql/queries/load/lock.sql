-- load/lock: serialize the attempts at one part; what is written from here on counts as a load (foreign_write).
select
    pg_advisory_xact_lock(hashtextextended(%(import_id)s || '/' || %(part_no)s::text, 0)) as locked,
    set_config('bulkhead.import_id', %(import_id)s, true) as loading
