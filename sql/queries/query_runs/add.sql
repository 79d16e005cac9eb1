-- query_runs/add: note a query that was run, and forget all of the owner but the last :most.
with added as (
    insert into access.query_run (owner_id, sql, datasets, unmask, seconds, row_count, is_truncated)
    values (:owner_id, :sql, :datasets, :unmask, :seconds, :row_count, :is_truncated)
    returning id
)

delete from access.query_run
where
    query_run.owner_id = :owner_id
    and query_run.id <= (
        select older.id
        from access.query_run as older
        where
            older.owner_id = :owner_id
            and exists (select 1 from added)
        order by older.id desc
        limit 1 offset :most
    )
