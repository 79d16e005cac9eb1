-- imports/pause: an import is to pause, or to go on; nothing if it is final or being canceled.
update ledger.import
set pause_wanted = :wanted
where
    import.id = :id
    and import.state in ('queued', 'validating', 'preparing', 'loading', 'paused')
    and import.cancel_requested_at is null
returning import.id
