-- imports/take_up: when the attempt that validates an import was scheduled: its fencing token, which refuses earlier attempts.
update ledger.import
set taken_up_at = :attempt
where id = :id
