-- application_role/state: whether the role and the tables of the ledger exist, and whether this user is a superuser.
select
    to_regrole(quote_ident(%(role)s)) is not null as has_role,
    to_regclass('ledger.import') is not null as has_ledger,
    to_regclass('ledger.audit_event') is not null as has_audit_log,
    current_setting('is_superuser') = 'on' as is_superuser
