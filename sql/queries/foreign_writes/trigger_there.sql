-- foreign_writes/trigger_there: how many triggers note writes of other clients to the table: 1, or 0 if it has none.
select count(*) as triggers
from pg_trigger
where
    tgrelid = to_regclass(%(relation)s)
    and tgname = 'bulkhead_foreign_write'
    and tgenabled = 'O'
