-- Patches: edits of a file's cells. The edits are objects in S3, one for each version; this is their list.
create table ledger.patch (
    import_id uuid not null references ledger.import (id) on delete cascade,
    version integer not null check (version > 0),
    key text not null,
    sha256 text not null,
    edits integer not null,
    skipped_rows integer not null,
    roots integer not null,
    created_by uuid,
    created_at timestamptz not null default clock_timestamp(),
    primary key (import_id, version)
);

comment on table ledger.patch is 'One row per version of the edits of an import''s file.';
comment on column ledger.patch.key is 'The object with all edits of the version; it never changes.';
comment on column ledger.patch.sha256 is 'The SHA-256 of the file that the edits were made for.';
comment on column ledger.patch.roots is 'Of the edits, those that made a root of a record.';
