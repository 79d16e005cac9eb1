-- tables/constraints: a table's constraints; NOT NULL comes with the columns. ``kind`` is p for the primary key.
select
    pg_constraint.conname as name,
    pg_constraint.contype::text as kind,
    pg_get_constraintdef(pg_constraint.oid) as what
from pg_catalog.pg_constraint
where
    pg_constraint.conrelid = %(relation)s::regclass
    and pg_constraint.contype in ('p', 'u', 'c', 'f', 'x')
order by pg_constraint.conname
