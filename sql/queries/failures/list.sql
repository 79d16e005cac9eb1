-- failures/list: a page of the failed records (quarantined or refused) in the file's order, by keyset pagination.
select
    failure._row as row,
    failure.id,
    failure.code,
    failure.sqlstate,
    failure.message,
    failure.batch_no,
    failure.part_no,
    failure.record,
    failure.unmasked
from ledger.failure
where
    failure.import_id = :import_id
    and failure._row > :after_row
order by failure._row
limit :limit
