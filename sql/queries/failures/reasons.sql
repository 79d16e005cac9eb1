-- failures/reasons: which records of an import failed, and why, without the records; a page in the file's order.
select
    failure._row as row,
    failure.code,
    failure.message as reason
from ledger.failure
where
    failure.import_id = :import_id
    and failure._row > :after_row
order by failure._row
limit :limit
