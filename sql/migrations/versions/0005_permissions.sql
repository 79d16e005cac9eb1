-- Which datasets a key is for. Null: all there are, and all that will be.
alter table access.api_key
add column datasets text[],
add constraint api_key_datasets check (datasets is null or (role <> 'admin' and cardinality(datasets) > 0));

comment on column access.api_key.datasets is 'The only datasets that there are for this key; null: all. An admin sees all.';
