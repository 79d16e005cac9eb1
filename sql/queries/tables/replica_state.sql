-- tables/replica_state: whether this server is a replica, whether it is migrated, and its lag in seconds.
select
    pg_is_in_recovery() as is_replica,
    to_regnamespace('warehouse') is not null as is_migrated,
    case
        when not pg_is_in_recovery() then 0
        when
            exists (select 1 from pg_catalog.pg_stat_wal_receiver)
            and pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn()
            then 0
        else coalesce(extract(epoch from clock_timestamp() - pg_last_xact_replay_timestamp()), 0)
    end::float as lag_seconds
