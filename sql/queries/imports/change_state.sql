-- imports/change_state: a transition that sets no time: to any state but "validating" and the final ones.
update ledger.import
set
    state = :state,
    reason = coalesce(nullif(cast(:reason as text), ''), reason)
where id = :id
