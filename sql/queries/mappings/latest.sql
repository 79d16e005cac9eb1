-- mappings/latest: the last mappings of files with this header, for these datasets, the newest one first.
select
    mapping.dataset,
    mapping.mapping,
    mapping.options,
    mapping.remembered_at
from ledger.mapping
where
    mapping.dataset = any(:datasets)
    and mapping.header = :header
order by mapping.remembered_at desc, mapping.dataset asc
