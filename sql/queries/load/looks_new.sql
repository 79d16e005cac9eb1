-- load/looks_new: whether the table has none of the records with these ids, some 64 of a part.
select not exists (select from {table} where {key} = any(%(ids)s::{key_type}[])) as looks_new
