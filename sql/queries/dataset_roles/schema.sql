-- dataset_roles/schema: what the role of a set of datasets may do: read the schema of its name, and nothing else.
grant usage on schema {role} to {role};
grant select on all tables in schema {role} to {role}
