-- Failures by ids of any length that a dataset accepts.
drop index if exists ledger.failure_import_id_id;

create index failure_id on ledger.failure (import_id, hashtextextended(id, 0));

comment on index ledger.failure_id is 'Of hashes: an id that is in quarantine may be longer than an index entry.';
