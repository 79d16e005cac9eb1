-- foreign_writes/changed: the first transaction of another client that wrote to an import's table unseen by its validation.
select
    written.operation,
    written.role,
    written.client,
    written.written_at
from ledger.import
inner join ledger.foreign_write as written on import.dataset = written.dataset
where
    import.id = %(import_id)s
    and import.warehouse_seen is not null
    and not pg_visible_in_snapshot(written.transaction, import.warehouse_seen)
order by written.written_at
limit 1
