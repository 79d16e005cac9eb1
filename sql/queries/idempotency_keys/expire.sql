-- idempotency_keys/expire: delete idempotency keys that were used long ago, except that of an upload under way.
delete from access.idempotency
where
    created_at <= :since
    and not exists (
        select 1
        from ledger.import
        where
            import.id = idempotency.import_id
            and import.state = 'awaiting_upload'
    )
