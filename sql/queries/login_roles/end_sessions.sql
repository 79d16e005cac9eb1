-- login_roles/end_sessions: end all sessions of a role.
select pg_terminate_backend(pg_stat_activity.pid, 5000)
from pg_catalog.pg_stat_activity
where pg_stat_activity.usename = %(role)s
