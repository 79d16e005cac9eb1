-- sign_ins/redeem: use a sign-in token; the update locks its row, so that of two requests only one gets the key.
update access.sign_in
set used_at = clock_timestamp()
from access.api_key
where
    sign_in.token_hash = :token_hash
    and sign_in.used_at is null
    and sign_in.expires_at > clock_timestamp()
    and api_key.id = sign_in.key_id
    and api_key.revoked_at is null
    and (api_key.expires_at is null or api_key.expires_at > clock_timestamp())
returning
    api_key.id::text as id,
    api_key.name,
    api_key.role,
    api_key.datasets,
    api_key.created_at,
    api_key.last_used_at,
    api_key.revoked_at,
    api_key.expires_at,
    api_key.generation,
    api_key.rotated_at,
    api_key.previous_until,
    api_key.last_address,
    api_key.is_break_glass,
    api_key.unmask
