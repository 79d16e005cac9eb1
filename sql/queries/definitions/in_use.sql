-- definitions/in_use: the datasets that are defined in the database, each with its version in use.
select
    definition.name,
    max(definition.version) as version
from ledger.dataset_definition as definition
where definition.dropped_at is null
group by definition.name
order by definition.name
