-- marts/states: a dataset's materialized views, and the outcome of each one's last refresh.
with marts as (
    select distinct mart.relname as name
    from pg_catalog.pg_depend
    inner join pg_catalog.pg_rewrite on pg_depend.objid = pg_rewrite.oid
    inner join pg_catalog.pg_class as mart on pg_rewrite.ev_class = mart.oid
    where
        pg_depend.refobjid = to_regclass('warehouse.' || quote_ident(:dataset))
        and mart.relkind = 'm'
)

select
    marts.name,
    mart.data_at,
    mart.seconds,
    case
        when mart_wanted.wanted_at > coalesce(mart_wanted.tried_at, '-infinity') then 'waiting'
        when coalesce(mart.error, '') != '' and mart.tried_at >= mart_wanted.tried_at then 'failed'
        when mart_wanted.tried_at > coalesce(mart.tried_at, '-infinity') then 'refreshing'
        else 'fresh'
    end as state,
    coalesce(mart.error, '') as error
from marts
left join ledger.mart on marts.name = mart.name and mart.dataset = :dataset
left join ledger.mart_wanted on mart_wanted.dataset = :dataset
order by marts.name
