-- dataset_roles/role: the login role of a set of datasets, within the limits of reader_role, which it cannot lift either.
alter role {role} login noinherit connection limit 20;
grant connect on database {database} to {role};
alter role {role} in database {database} set search_path = {role};
alter role {role} in database {database} set default_transaction_read_only = on;
alter role {role} in database {database} set work_mem = '16MB'
