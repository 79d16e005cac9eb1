-- saved_queries/get: a saved query of an owner, if it may see it now.
select
    saved_query.id::text as id,
    saved_query.name,
    saved_query.sql,
    saved_query.saved_at
from access.saved_query
where
    saved_query.id = :id
    and saved_query.owner_id = :owner_id
    and (cast(:datasets as text[]) is null or saved_query.datasets <@ cast(:datasets as text[]))
    and (:unmask or not saved_query.unmask)
