-- imports/changed_since: whether another import of the dataset, or another client, has changed the warehouse since this one began
-- to load. The parts of each import are counted by their key, rather than all parts that there are joined.
with began as (
    select coalesce(min(part.loaded_at), '-infinity') as loading_at
    from ledger.part
    where part.import_id = :id
)

select
    exists (
        select 1
        from ledger.import
        where
            import.dataset = :dataset
            and import.id != :id
            and import.state in (
                'succeeded', 'partially_succeeded', 'failed', 'canceled', 'validating', 'preparing', 'loading', 'paused'
            )
            and coalesce(import.finished_at, 'infinity') >= (select began.loading_at from began)
            and (
                select count(*)
                from ledger.part
                where
                    part.import_id = import.id
                    and part.loaded_at >= (select began.loading_at from began)
                    and (part.inserted > 0 or part.updated > 0)
            ) > 0
    )
    or exists (
        select 1
        from ledger.foreign_write
        where
            foreign_write.dataset = :dataset
            and foreign_write.written_at >= (select began.loading_at from began)
    ) as is_changed
