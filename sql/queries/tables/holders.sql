-- tables/holders: the sessions that have held a lock on a table the longest, in words.
select
    format(
        '%%s (%%s) for %%s s',
        pg_stat_activity.pid,
        coalesce(nullif(pg_stat_activity.application_name, ''), 'nameless'),
        round(extract(epoch from clock_timestamp() - pg_stat_activity.xact_start))
    ) as holder
from pg_catalog.pg_locks
inner join pg_catalog.pg_stat_activity on pg_locks.pid = pg_stat_activity.pid
where
    pg_locks.relation = %(relation)s::regclass
    and pg_locks.granted
    and pg_locks.pid <> pg_backend_pid()
group by pg_stat_activity.pid, pg_stat_activity.application_name, pg_stat_activity.xact_start
order by pg_stat_activity.xact_start
limit 3
