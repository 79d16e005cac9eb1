-- support/server_settings: what is configured in PostgreSQL, apart from texts, which may contain passwords.
select
    pg_settings.name,
    pg_settings.setting,
    pg_settings.unit,
    pg_settings.source
from pg_catalog.pg_settings
where
    pg_settings.vartype != 'string'
    and (pg_settings.source != 'default' or pg_settings.name in ('max_connections', 'shared_buffers', 'work_mem'))
order by pg_settings.name
