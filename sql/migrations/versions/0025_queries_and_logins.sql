-- Saved queries and the last queries of each key or person. Their texts may have values of records: they are shown only to their
-- owner, and only while the owner sees the datasets, and the personal data, that it saw when the query was written.
create table access.saved_query (
    id uuid primary key default gen_random_uuid(),
    owner_id uuid not null,
    name text not null,
    sql text not null,
    datasets text[],
    unmask boolean not null,
    saved_at timestamptz not null default clock_timestamp(),
    unique (owner_id, name)
);

comment on table access.saved_query is 'Queries that were saved on the SQL page.';
comment on column access.saved_query.owner_id is 'The API key or the person that saved it.';
comment on column access.saved_query.datasets is 'The datasets that the owner saw then; null: all.';
comment on column access.saved_query.unmask is 'Whether the owner saw personal data without masks then.';

create table access.query_run (
    id bigint generated always as identity primary key,
    owner_id uuid not null,
    sql text not null,
    datasets text[],
    unmask boolean not null,
    seconds double precision not null,
    row_count integer not null,
    is_truncated boolean not null,
    ran_at timestamptz not null default clock_timestamp()
);

comment on table access.query_run is 'The last queries that each owner ran on the SQL page.';
comment on column access.query_run.owner_id is 'The API key or the person that ran it.';
comment on column access.query_run.datasets is 'The datasets that the owner saw then; null: all.';
comment on column access.query_run.unmask is 'Whether the owner saw personal data without masks then.';
comment on column access.query_run.row_count is 'Rows that were answered; with is_truncated there were more.';

create index query_run_owner_id on access.query_run (owner_id, id);
create index query_run_ran_at on access.query_run (ran_at);

-- Logins to the database for other programs. Each is a role in PostgreSQL, which may do what the role in reader may.
create table access.database_login (
    id uuid primary key,
    role text not null unique,
    reader text not null,
    label text not null,
    owner_kind text not null check (owner_kind in ('key', 'user')),
    owner_id uuid not null,
    owner_name text not null,
    datasets text[],
    unmask boolean not null,
    created_at timestamptz not null default clock_timestamp(),
    expires_at timestamptz not null,
    revoked_at timestamptz,
    revoked_because text not null default ''
);

comment on table access.database_login is 'Logins to the database that people made; PostgreSQL has a verifier of the password.';
comment on column access.database_login.role is 'The name of the role in PostgreSQL, dropped when it is revoked.';
comment on column access.database_login.reader is 'The role for a set of datasets that it is a member of.';
comment on column access.database_login.owner_id is 'The API key or the person that made it.';
comment on column access.database_login.datasets is 'The datasets of the owner at that time; null: all.';
comment on column access.database_login.unmask is 'Whether the owner saw personal data without masks then.';

create index database_login_owner_id on access.database_login (owner_id, created_at);
create index database_login_live on access.database_login (expires_at) where revoked_at is null;
