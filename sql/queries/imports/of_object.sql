-- imports/of_object: the imports of one object, newest first.
select
    import.id::text as id,
    import.state,
    import.etag
from ledger.import
where
    import.bucket = :bucket
    and import.key = :key
order by import.created_at desc
