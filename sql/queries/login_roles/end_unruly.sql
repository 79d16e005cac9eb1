-- login_roles/end_unruly: end the sessions of logins that hold an advisory lock, which is ours to take, or whose query has run
-- for longer than it may: a session can lift its own time limit.
select pg_terminate_backend(activity.pid)
from pg_catalog.pg_stat_activity as activity
where
    activity.usename like 'bulkhead\_login\_%%'
    and activity.datname = current_database()
    and (
        (activity.state = 'active' and activity.query_start < clock_timestamp() - make_interval(secs => %(seconds)s))
        or activity.xact_start < clock_timestamp() - make_interval(secs => %(seconds)s + 300)
        or exists (
            select 1
            from pg_catalog.pg_locks as locks
            where
                locks.pid = activity.pid
                and locks.locktype = 'advisory'
        )
    )
