-- imports/unpromoted: dry runs that ended by then and were not promoted, oldest first.
select import.id::text as id
from ledger.import
where
    import.state = 'validated'
    and import.finished_at <= :since
order by import.finished_at
