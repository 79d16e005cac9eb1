-- mappings/get: what was made last of the columns of a file with this header.
select mapping.mapping
from ledger.mapping
where
    mapping.dataset = :dataset
    and mapping.header = :header
