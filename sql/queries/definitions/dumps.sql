-- definitions/dumps: dumps of datasets that were dropped before a time, and are still kept.
select
    dropped.id,
    dropped.name,
    dropped.prefix
from ledger.dropped_dataset as dropped
where dropped.removed_at is null and dropped.dropped_at <= :before
order by dropped.dropped_at, dropped.id
limit :limit
