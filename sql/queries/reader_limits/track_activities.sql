-- reader_limits/track_activities: nothing is reported to pg_stat_activity: readers share a role, which may see its sessions.
alter role {role} in database {database} set track_activities = off
