"""SQL statements that the SQL console must stop or deny."""

from __future__ import annotations

SLOW = "select count(*) from generate_series(1, 100000000000)"
DENIED = [
    "select * from access.api_key",
    "select * from ledger.import",
    "select * from public.alembic_version",
    "select * from pg_authid",
    "select pg_read_file('/etc/passwd')",
    "select pg_ls_dir('/')",
    "select lo_create(0)",
    "select lo_import('/etc/passwd')",
    "select pg_reload_conf()",
    "select pg_terminate_backend(pid) from pg_stat_activity where usename <> current_user",
    "select nextval('ledger.move_seq_seq')",
    "with gone as (delete from records returning 1) select * from gone",
    "with made as (insert into records (id, _import_id, _row) values ('x', gen_random_uuid(), 1) returning 1) select 1",
    "select 1) as x; drop table warehouse.records; select * from (select 1",
    "select * from records for update",
    "select set_config('default_transaction_read_only', 'off', true), lo_create(0)",
    "select set_config('transaction_read_only', 'off', true)",
    "select set_config('role', 'bulkhead', true)",
    "select set_config('session_authorization', 'bulkhead', true)",
    "select set_config('temp_file_limit', '-1', true)",
]
