-- The datasets of a key. Null: all, including later ones.
alter table access.api_key
add column datasets text[],
add constraint api_key_datasets check (datasets is null or (role <> 'admin' and cardinality(datasets) > 0));

comment on column access.api_key.datasets is 'The datasets that this key may use; null: all. An admin may use all.';
