-- idempotency_keys/expire: forget Idempotency-Keys that were used long ago, but not that of an upload that is still under way.
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
