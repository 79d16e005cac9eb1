-- saved_queries/delete: delete a saved query of an owner.
delete from access.saved_query
where
    id = :id
    and owner_id = :owner_id
returning saved_query.id::text as id
