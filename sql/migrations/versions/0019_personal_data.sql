-- Personal data: what failed is stored masked, the clear values beside it; a key may unmask if it says so.
alter table ledger.failure add column unmasked jsonb;

comment on column ledger.failure.unmasked is
'Message and record without masks, in a dataset with personal data; read only for a key that may unmask.';

alter table access.api_key add column unmask boolean not null default false;

comment on column access.api_key.unmask is 'Whether the key sees personal data without masks.';

update access.api_key
set unmask = true
where role = 'admin';
