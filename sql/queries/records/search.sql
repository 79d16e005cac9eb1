-- records/search: a page of the records in which a column begins with a text, without regard to case: by the column's index, in
-- its order, after the last one seen. No character comes after U+10FFFF.
select
    target.*, -- noqa: AM04
    {begin} as _begin
from {table} as target
where
    ({begin}, target.{key}) > (coalesce(:after_begin, lower(left(cast(:text as text), {characters}))), :after) -- noqa: RF02
    and {begin} < lower(left(cast(:text as text), {characters})) || chr(1114111)
    and starts_with(lower(target.{column}), lower(cast(:text as text)))
order by {begin}, target.{key}
limit :limit
