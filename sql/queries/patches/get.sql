-- patches/get: a version of an import's patch; the last one where none is given.
select
    patch.version,
    patch.key,
    patch.sha256,
    patch.edits,
    patch.skipped_rows,
    patch.roots,
    patch.created_by::text as created_by,
    patch.created_at
from ledger.patch
where
    patch.import_id = :import_id
    and (cast(:version as integer) is null or patch.version = :version)
order by patch.version desc
limit 1
