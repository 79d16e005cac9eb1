-- Who is told how imports end, beside those that the settings name, and who is told nothing for the time being.
create table ledger.receiver (
    channel text not null check (channel in ('webhook', 'email')),
    target text not null,
    datasets text[] check (cardinality(datasets) > 0),
    secret text not null,
    created_at timestamptz not null default now(),
    primary key (channel, target)
);

comment on table ledger.receiver is 'Receivers that an admin added; those of the settings and of uploads are not here.';
comment on column ledger.receiver.datasets is 'Whose imports it is told of; null: those of all.';
comment on column ledger.receiver.secret is 'What its webhooks are signed with.';

create table ledger.receiver_off (
    channel text not null,
    target text not null,
    off_at timestamptz not null default now(),
    because text not null,
    primary key (channel, target)
);

comment on table ledger.receiver_off is 'Receivers, whoever named them, that are told nothing until somebody switches them on.';
