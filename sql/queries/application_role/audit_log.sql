-- application_role/audit_log: of the audit log the application's role may only read and append.
revoke all on table ledger.audit_event from {role};
grant select, insert on table ledger.audit_event to {role}
