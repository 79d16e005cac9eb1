-- saved_queries/expire: delete the saved queries of keys that were revoked or have expired before a time.
delete from access.saved_query
using access.api_key
where
    api_key.id = saved_query.owner_id
    and least(api_key.revoked_at, api_key.expires_at) < :since
