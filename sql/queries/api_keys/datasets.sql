-- api_keys/datasets: the sets of datasets that valid keys are limited to.
select distinct api_key.datasets
from access.api_key
where
    api_key.datasets is not null
    and api_key.revoked_at is null
order by api_key.datasets
