-- application_role/ledger: what the application's role may do in the ledger: anything but to change tables.
grant usage on schema ledger to {role};
grant usage on schema access to {role};
grant select, insert, update, delete on all tables in schema ledger to {role};
grant select, insert, update, delete on all tables in schema access to {role};
grant usage, select on all sequences in schema ledger to {role};
grant usage, select on all sequences in schema access to {role};
grant execute on all functions in schema ledger to {role};
grant select on public.alembic_version to {role}
