-- gx/self_parent: the loaded records that are their own parents.
with loaded as not materialized (
    select * from {batch}
)

select record.{key} as id
from loaded as record
where record.{parent} = record.{key}
