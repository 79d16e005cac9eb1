-- foreign_forget: writes that began before every import that is under way, and that no import will ask about any more.
delete from ledger.foreign_write
where
    foreign_write.written_at < :before
    and not exists (
        select from ledger.import
        where
            import.dataset = foreign_write.dataset
            and import.state in ('validating', 'preparing', 'loading', 'paused')
            and import.started_at < foreign_write.written_at
    )
