-- Look up failures by ids of any length.
drop index if exists ledger.failure_import_id_id;

create index failure_id on ledger.failure (import_id, hashtextextended(id, 0));

comment on index ledger.failure_id is 'An index of hashes, since a quarantined id may be longer than an index entry.';
