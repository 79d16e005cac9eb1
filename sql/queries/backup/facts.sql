-- backup/facts: what the manifest of a backup says about the database, as of the transaction's snapshot.
select
    pg_export_snapshot() as snapshot,
    now() as taken_at,
    current_setting('server_version') as server_version,
    current_setting('server_version_num')::integer / 10000 as server_major,
    current_user::text as role,
    (case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end)::text as lsn
