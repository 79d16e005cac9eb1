-- load/lease: acquire the lease on a part and return its fencing token, which makes the token of an earlier attempt void.
with loading as (
    select import.id
    from ledger.import
    where
        import.id = %(import_id)s
        and import.state = 'loading'
        and not import.closing
    for share
)

insert into ledger.claim (import_id, part_no)
select
    loading.id,
    %(part_no)s
from loading
on conflict (import_id, part_no) do update
    set
        token = default,
        claimed_at = clock_timestamp()
returning claim.token
