-- import_pause: somebody wants it to stand still, or to go on; nothing if it has come to its end.
update ledger.import
set pause_wanted = :wanted
where
    import.id = :id
    and import.state in ('queued', 'validating', 'preparing', 'loading', 'paused')
returning import.id
