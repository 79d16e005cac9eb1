-- definitions/table_bytes: how large a table is, with its indexes.
select pg_total_relation_size(to_regclass('warehouse.' || quote_ident(:name))) as bytes
