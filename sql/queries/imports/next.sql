-- imports/next: the import of a dataset that is at work, or else the first in its queue.
select import.id::text as id
from ledger.import
where
    import.dataset = :dataset
    and import.state in ('queued', 'validating', 'preparing', 'loading', 'paused')
    and import.id <> all(:but)
order by
    import.state = 'queued',
    import.queue_seq
limit 1
