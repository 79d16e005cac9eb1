-- definitions/last_version: the highest version that this name ever had, dropped ones included; 0 if it had none.
select coalesce(max(definition.version), 0) as version
from ledger.dataset_definition as definition
where definition.name = :name
