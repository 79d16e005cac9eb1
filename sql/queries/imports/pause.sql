-- imports/pause: it is to stand still, or to go on; nothing if it has come to its end or is being canceled.
update ledger.import
set pause_wanted = :wanted
where
    import.id = :id
    and import.state in ('queued', 'validating', 'preparing', 'loading', 'paused')
    and import.cancel_requested_at is null
returning import.id
