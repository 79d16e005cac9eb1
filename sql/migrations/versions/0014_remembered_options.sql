-- Remember how a file is read together with the mapping of its columns.
alter table ledger.mapping add column options jsonb not null default '{}';

comment on column ledger.mapping.options is 'Options of reading that the last file with this header was read with.';
