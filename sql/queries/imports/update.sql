-- imports/update: set columns of an import without a change of its state; null leaves a column as it is.
update ledger.import
set
    size_bytes = coalesce(cast(:size_bytes as bigint), size_bytes),
    sha256 = coalesce(cast(:sha256 as text), sha256),
    etag = coalesce(cast(:etag as text), etag),
    records_total = coalesce(cast(:records_total as bigint), records_total),
    records_valid = coalesce(cast(:records_valid as bigint), records_valid),
    records_invalid = coalesce(cast(:records_invalid as bigint), records_invalid),
    unprocessed = coalesce(cast(:unprocessed as bigint), unprocessed),
    quarantined = coalesce(cast(:quarantined as bigint), quarantined),
    parts_total = coalesce(cast(:parts_total as integer), parts_total),
    findings_errors = coalesce(cast(:findings_errors as bigint), findings_errors),
    findings_warnings = coalesce(cast(:findings_warnings as bigint), findings_warnings),
    findings_by_code = coalesce(cast(:findings_by_code as jsonb), findings_by_code),
    reading = coalesce(cast(:reading as jsonb), reading),
    preview = coalesce(cast(:preview as jsonb), preview),
    duplicate_of = coalesce(cast(:duplicate_of as uuid), duplicate_of),
    definition_version = coalesce(cast(:definition_version as integer), definition_version)
where id = :id
