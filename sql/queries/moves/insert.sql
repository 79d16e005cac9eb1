-- moves/insert: add a change of state to an import's history.
insert into ledger.move (import_id, from_state, to_state, reason)
values (:import_id, :from_state, :to_state, :reason)
