-- listings/keep: remember the key after which the listing of a bucket goes on.
insert into ledger.listing (bucket, after_key)
values (:bucket, :after_key)
on conflict (bucket) do update
    set
        after_key = excluded.after_key,
        at = clock_timestamp()
