-- application_role/database: what the application's role may do in the database: make schemas and roles for readers' SQL.
grant connect on database {database} to {role} with grant option;
grant create, temporary on database {database} to {role};
revoke temporary on database {database} from public;
grant usage on schema public to {role}
