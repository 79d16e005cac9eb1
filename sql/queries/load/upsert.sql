-- load/upsert: merge on the key, rewriting only what changed; sorted, so that two loads never deadlock.
-- xmax is 0 in a row that this statement inserted; in one that it updated, xmax holds the lock taken to do so.
with taken as (
    select * from arriving
    where _place >= %(first)s and _place < %(last)s
),

written as (
    insert into {table} as target ({columns}, _import_id, _row)
    select {values}, %(import_id)s::uuid, _row
    from taken
    order by {key}
    on conflict ({key}) do update
        set
            {sets},
            _import_id = excluded._import_id,
            _row = excluded._row,
            _loaded_at = now()
        where ({old}) is distinct from ({new})
    returning target.xmax = 0 as inserted
)

select
    (select count(*) from written where inserted) as inserted,
    (select count(*) from written where not inserted) as updated,
    (select count(*) from taken) as taken
