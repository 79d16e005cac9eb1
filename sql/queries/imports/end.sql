-- imports/end: the transition to a final state.
update ledger.import
set
    state = :state,
    reason = coalesce(nullif(cast(:reason as text), ''), reason),
    finished_at = clock_timestamp()
where id = :id
