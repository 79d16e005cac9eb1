-- api_keys/get: one API key, with the hash that its secret is compared with.
select
    api_key.id::text as id,
    api_key.name,
    api_key.role,
    api_key.datasets,
    api_key.secret_hash,
    api_key.created_at,
    api_key.last_used_at,
    api_key.revoked_at
from access.api_key
where api_key.id = :id
