-- import_changed_since: another import of the dataset that has changed the warehouse since this one began to load, if any has.
-- The parts of each are counted by their key, rather than all parts that there are joined.
with began as (
    select coalesce(min(part.loaded_at), '-infinity') as loading_at
    from ledger.part
    where part.import_id = :id
)

select import.id::text as id
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
order by coalesce(import.finished_at, 'infinity') desc
limit 1
