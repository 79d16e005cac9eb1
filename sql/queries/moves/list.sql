-- moves/list: an import's changes of state, oldest first.
select
    move.at,
    move.from_state,
    move.to_state,
    move.reason
from ledger.move
where move.import_id = :import_id
order by move.seq
