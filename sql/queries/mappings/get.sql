-- mappings/get: the last mapping of a file with this header.
select mapping.mapping
from ledger.mapping
where
    mapping.dataset = :dataset
    and mapping.header = :header
