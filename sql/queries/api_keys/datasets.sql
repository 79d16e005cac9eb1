-- api_keys/datasets: the sets of datasets that valid keys, and sessions of people, are limited to.
select api_key.datasets
from access.api_key
where
    api_key.datasets is not null
    and api_key.revoked_at is null
union
select session.datasets
from access.session
where
    session.datasets is not null
    and session.expires_at > now()
order by datasets
