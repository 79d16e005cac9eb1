-- login_roles/role: the role of one login: what the role of its datasets may read, within the same limits, in any database.
alter role {role} login inherit;
alter role {role} set default_transaction_read_only = on;
alter role {role} set statement_timeout = {milliseconds};
alter role {role} set lock_timeout = '2s';
alter role {role} set idle_in_transaction_session_timeout = '5min';
alter role {role} set work_mem = '16MB'
