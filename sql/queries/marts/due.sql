-- marts/due: datasets for which no refresh of marts has begun since records were loaded, though that is some time ago.
select mart_wanted.dataset
from ledger.mart_wanted
where
    mart_wanted.wanted_at > coalesce(mart_wanted.tried_at, '-infinity')
    and mart_wanted.wanted_at < clock_timestamp() - interval '30 seconds'
order by mart_wanted.dataset
