-- sql_reader/role: the role that runs the SQL of users: it may read the schema warehouse, within limits that they cannot lift.
-- reader_limits/ has those that only a superuser may set.
alter role {role} login noinherit connection limit 20;
grant connect on database {database} to {role};
revoke temporary on database {database} from public;
revoke all on schema public from {role};
grant usage on schema warehouse to {role};
grant select on all tables in schema warehouse to {role};
alter default privileges in schema warehouse grant select on tables to {role};
alter role {role} in database {database} set search_path = warehouse;
alter role {role} in database {database} set default_transaction_read_only = on;
alter role {role} in database {database} set work_mem = '16MB';
