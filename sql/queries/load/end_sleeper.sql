-- load/end_sleeper: terminate the session that holds the part's lock (load/lock): its attempt lost the lease and may never wake.
select pg_terminate_backend(held.pid)
from (select hashtextextended(%(import_id)s || '/' || %(part_no)s::text, 0) as key) as wanted
inner join pg_locks as held
    on
        (wanted.key >> 32) & 4294967295 = held.classid::bigint
        and wanted.key & 4294967295 = held.objid::bigint
where
    held.locktype = 'advisory'
    and held.objsubid = 1
    and held.database = (select here.oid from pg_database as here where here.datname = current_database())
    and held.granted
    and held.pid != pg_backend_pid()
