-- mappings/get: the last mapping of a file with this header, and how it was read.
select
    mapping.mapping,
    mapping.options
from ledger.mapping
where
    mapping.dataset = :dataset
    and mapping.header = :header
