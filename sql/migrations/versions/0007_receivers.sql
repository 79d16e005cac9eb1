-- Recipients added by admins, beside those in the settings, and recipients that are switched off.
create table ledger.receiver (
    channel text not null check (channel in ('webhook', 'email')),
    target text not null,
    datasets text[] check (cardinality(datasets) > 0),
    secret text not null,
    created_at timestamptz not null default now(),
    primary key (channel, target)
);

comment on table ledger.receiver is 'Recipients that an admin added; those of the settings and of uploads are not here.';
comment on column ledger.receiver.datasets is 'The datasets whose imports it is notified of; null: all.';
comment on column ledger.receiver.secret is 'The secret that signs its webhooks.';

create table ledger.receiver_off (
    channel text not null,
    target text not null,
    off_at timestamptz not null default now(),
    because text not null,
    primary key (channel, target)
);

comment on table ledger.receiver_off is 'Recipients of any origin that get no messages until an admin switches them on.';
