-- People who sign in at an identity provider, and their sessions. What a person may do belongs to the session: it follows from
-- the claims at the sign-in.
create table access.person (
    id uuid primary key default gen_random_uuid(),
    issuer text not null,
    subject text not null,
    name text not null,
    email text not null default '',
    created_at timestamptz not null default now(),
    unique (issuer, subject)
);

comment on table access.person is 'Who has signed in at an identity provider; issuer and subject are the identity.';

create table access.session (
    token_hash text primary key,
    person_id uuid not null references access.person (id) on delete cascade,
    role text not null check (role in ('reader', 'uploader', 'admin')),
    datasets text[],
    rules text not null,
    provider_session text not null default '',
    id_token text not null,
    address text not null default '',
    started_at timestamptz not null default clock_timestamp(),
    last_used_at timestamptz not null default clock_timestamp(),
    expires_at timestamptz not null,
    constraint session_datasets check (datasets is null or (role <> 'admin' and cardinality(datasets) > 0))
);

comment on table access.session is 'Sessions of people; only a hash of the token in the cookie is stored.';
comment on column access.session.datasets is 'The datasets that the session may use; null: all.';
comment on column access.session.rules is 'The SHA-256 of the rules at the sign-in: under other rules the session has ended.';
comment on column access.session.provider_session is 'The provider''s session (claim sid), which a back-channel logout names.';
comment on column access.session.id_token is 'Names the session to the provider when the person signs out there.';

create index session_person_id on access.session (person_id);
create index session_expires_at on access.session (expires_at);

create table access.used_state (
    state_hash text primary key,
    expires_at timestamptz not null
);

comment on table access.used_state is 'States of sign-ins that came back from the provider, so that none counts twice.';

-- An upload's Idempotency-Key may be a person's, too. Keys are never deleted, so the cascade did nothing.
alter table access.idempotency
drop constraint if exists idempotency_key_id_fkey;

comment on column access.idempotency.key_id is 'The API key or the person that sent it.';
