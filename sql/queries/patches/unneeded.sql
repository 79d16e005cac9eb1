-- patches/unneeded: of these imports, those whose file was removed, and the files of all imports that apply their patches.
select import.id::text as id
from ledger.import
where
    import.id = any(:ids)
    and import.source_removed_at is not null
    and not exists (
        select
        from ledger.import as retry
        where
            retry.retry_of = import.id
            and retry.source_removed_at is null
    )
