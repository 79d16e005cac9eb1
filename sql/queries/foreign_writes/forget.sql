-- foreign_writes/forget: delete writes that began before every active import, which no import will ask about. The last one of
-- each dataset stays: content that was loaded before it may not be what the warehouse has.
delete from ledger.foreign_write
where
    foreign_write.written_at < :before
    and exists (
        select 1
        from ledger.foreign_write as later
        where later.dataset = foreign_write.dataset and later.written_at > foreign_write.written_at
    )
    and not exists (
        select 1
        from ledger.import
        where
            import.dataset = foreign_write.dataset
            and import.state in ('validating', 'preparing', 'loading', 'paused')
            and import.started_at < foreign_write.written_at
    )
