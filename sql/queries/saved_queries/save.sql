-- saved_queries/save: save a query under a name; a query of that name is replaced. Nothing if the owner has too many.
insert into access.saved_query (owner_id, name, sql, datasets, unmask)
select
    :owner_id as owner_id,
    :name as name,
    :sql as sql,
    :datasets as datasets,
    :unmask as unmask
from (
    select count(*) as others
    from access.saved_query
    where
        saved_query.owner_id = :owner_id
        and saved_query.name <> :name
) as saved
where saved.others < :most
on conflict (owner_id, name) do update
    set
        sql = excluded.sql,
        datasets = excluded.datasets,
        unmask = excluded.unmask,
        saved_at = clock_timestamp()
returning saved_query.id::text as id
