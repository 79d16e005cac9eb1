-- definitions/waiting: imports of a dataset that are not over.
select import.id::text as id
from ledger.import
where
    import.dataset = :dataset
    and import.state in ('awaiting_upload', 'queued', 'validating', 'preparing', 'loading', 'paused')
order by import.id
