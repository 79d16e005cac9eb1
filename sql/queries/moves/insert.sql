-- moves/insert: one change of state, for the history.
insert into ledger.move (import_id, from_state, to_state, reason)
values (:import_id, :from_state, :to_state, :reason)
