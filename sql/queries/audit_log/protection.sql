-- audit_log/protection: whether the role of this session could change events, and whether it owns the table.
select
    roles.rolname::text as role,
    roles.rolsuper as is_superuser,
    pg_has_role(roles.oid, tables.relowner, 'usage') as is_owner,
    has_table_privilege(roles.oid, tables.oid, 'update, delete, truncate') as may_change
from pg_catalog.pg_roles as roles
inner join pg_catalog.pg_class as tables on tables.oid = to_regclass('ledger.audit_event')
where roles.rolname = current_user
