-- imports/end_sleepers: end the sessions that hold the lock of a part with a lease that was not given back.
select pg_terminate_backend(held.pid)
from ledger.claim
inner join pg_locks as held
    on
        (hashtextextended(claim.import_id::text || '/' || claim.part_no::text, 0) >> 32) & 4294967295 = held.classid::bigint
        and hashtextextended(claim.import_id::text || '/' || claim.part_no::text, 0) & 4294967295 = held.objid::bigint
where
    claim.import_id = :import_id
    and held.locktype = 'advisory'
    and held.objsubid = 1
    and held.database = (select here.oid from pg_database as here where here.datname = current_database())
    and held.granted
    and held.pid != pg_backend_pid()
