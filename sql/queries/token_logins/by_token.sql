-- token_logins/by_token: whether we log in by tokens of AWS IAM, which RDS tells by this role.
select pg_has_role(pg_roles.oid, 'member') as by_token
from pg_catalog.pg_roles
where pg_roles.rolname = 'rds_iam'
