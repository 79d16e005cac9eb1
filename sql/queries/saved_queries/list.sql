-- saved_queries/list: the saved queries of an owner that it may see now, by name.
select
    saved_query.id::text as id,
    saved_query.name,
    saved_query.sql,
    saved_query.saved_at
from access.saved_query
where
    saved_query.owner_id = :owner_id
    and (cast(:datasets as text[]) is null or saved_query.datasets <@ cast(:datasets as text[]))
    and (:unmask or not saved_query.unmask)
order by lower(saved_query.name), saved_query.name
