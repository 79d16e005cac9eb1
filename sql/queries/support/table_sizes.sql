-- support/table_sizes: the size of each table of ours with its indexes, and what PostgreSQL's statistics say of it.
select
    stat.schemaname as schema_name,
    stat.relname as table_name,
    pg_total_relation_size(stat.relid) as total_bytes,
    pg_relation_size(stat.relid) as table_bytes,
    stat.n_live_tup as live_rows,
    stat.n_dead_tup as dead_rows,
    stat.last_autovacuum,
    stat.last_autoanalyze
from pg_catalog.pg_stat_user_tables as stat
where stat.schemaname in ('ledger', 'warehouse', 'access')
order by total_bytes desc
