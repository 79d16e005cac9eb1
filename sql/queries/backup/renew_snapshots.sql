-- backup/renew_snapshots: transaction numbers of another server mean nothing here. An import that has not seen another client's
-- write is given a snapshot before all transactions, the others one of now.
update ledger.import
set
    warehouse_seen = case
        when exists (
            select 1
            from ledger.foreign_write as written
            where
                written.dataset = import.dataset
                and not pg_visible_in_snapshot(written.transaction, import.warehouse_seen)
        ) then '3:3:'::pg_snapshot
        else pg_current_snapshot()
    end
where import.warehouse_seen is not null
