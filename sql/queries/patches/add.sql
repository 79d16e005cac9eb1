-- patches/add: add a version, if it follows the last one. Of two that are added at the same time, one is not.
insert into ledger.patch (import_id, version, key, sha256, edits, skipped_rows, roots, created_by)
select
    :import_id as import_id,
    :version as version,
    :key as key,
    :sha256 as sha256,
    :edits as edits,
    :skipped_rows as skipped_rows,
    :roots as roots,
    :created_by as created_by
where :version = 1 + coalesce((select max(patch.version) from ledger.patch where patch.import_id = :import_id), 0)
on conflict do nothing
returning patch.version
