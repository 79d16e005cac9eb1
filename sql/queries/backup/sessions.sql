-- backup/sessions: processes of Bulkhead that are connected to this database, beside this one, and how many sessions each has.
select
    sessions.application_name::text as name,
    count(*) as sessions
from pg_stat_activity as sessions
where
    sessions.datname = current_database()
    and sessions.application_name like 'bulkhead%'
    and sessions.application_name not in ('bulkhead restore', 'bulkhead liveness')
group by sessions.application_name
order by name
