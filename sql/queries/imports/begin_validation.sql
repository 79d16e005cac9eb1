-- imports/begin_validation: the transition to "validating": the import begins, or begins again after its run was lost.
-- warehouse_seen: what was committed by now; other clients' later writes are found by it.
update ledger.import
set
    state = :state,
    reason = coalesce(nullif(cast(:reason as text), ''), reason),
    started_at = clock_timestamp(),
    closing = false,
    warehouse_seen = pg_current_snapshot()
where id = :id
