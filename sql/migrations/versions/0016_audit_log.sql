-- The audit log: append-only, each event chained to the one before it by its hash (docs/decisions/0036).
create table ledger.audit_event (
    seq bigint primary key,
    at timestamptz not null,
    action text not null,
    actor_kind text not null,
    actor_id text not null default '',
    actor_name text not null default '',
    target_kind text not null default '',
    target_id text not null default '',
    result text not null check (result in ('ok', 'refused', 'failed')),
    status integer,
    reason text not null default '',
    address text not null default '',
    user_agent text not null default '',
    request_id text not null default '',
    trace_id text not null default '',
    details jsonb not null default '{}' check (jsonb_typeof(details) = 'object'),
    previous text not null,
    hash text not null
);

comment on table ledger.audit_event is 'The audit log. A trigger sets seq, at, previous and hash; events are never changed.';
comment on column ledger.audit_event.previous is 'The hash of the event before this one; empty for the first event of all.';
comment on column ledger.audit_event.hash is 'SHA-256 of ledger.audit_event_json: of all other columns, previous included.';

create index audit_event_at on ledger.audit_event (at);
create index audit_event_action on ledger.audit_event (action, seq);
create index audit_event_actor on ledger.audit_event (actor_id, seq);
create index audit_event_target on ledger.audit_event (target_id, seq);

-- The same text as pipeline/ledger/audit_chain.py makes, which verifies the hashes: canonical JSON (RFC 8785).
create function ledger.audit_event_json(one ledger.audit_event) returns text
language sql stable set search_path = pg_catalog, pg_temp
as $$
    select concat(
        '{"action":', to_json(one.action),
        ',"actor_id":', to_json(one.actor_id),
        ',"actor_kind":', to_json(one.actor_kind),
        ',"actor_name":', to_json(one.actor_name),
        ',"address":', to_json(one.address),
        ',"at":"', to_char(one.at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
        '","details":', (
            select
                coalesce(
                    '{' || string_agg(to_json(key)::text || ':' || to_json(value)::text, ',' order by key collate "C") || '}',
                    '{}'
                )
            from jsonb_each_text(one.details)
        ),
        ',"previous":', to_json(one.previous),
        ',"reason":', to_json(one.reason),
        ',"request_id":', to_json(one.request_id),
        ',"result":', to_json(one.result),
        ',"seq":', one.seq,
        ',"status":', coalesce(one.status::text, 'null'),
        ',"target_id":', to_json(one.target_id),
        ',"target_kind":', to_json(one.target_kind),
        ',"trace_id":', to_json(one.trace_id),
        ',"user_agent":', to_json(one.user_agent),
        '}'
    )
$$;

-- Append one event to the chain. The lock is held until the transaction ends, so an event is the last statement of its
-- transaction.
create function ledger.chain_audit_event() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    head record;
begin
    if exists (select from jsonb_each(new.details) as detail where jsonb_typeof(detail.value) <> 'string') then
        raise exception 'the details of an audit event are texts' using errcode = 'check_violation';
    end if;
    perform pg_advisory_xact_lock(727074003);
    select event.seq, event.hash into head from ledger.audit_event as event order by event.seq desc limit 1;
    new.seq := coalesce(head.seq, 0) + 1;
    new.previous := coalesce(head.hash, '');
    new.at := clock_timestamp();
    new.hash := encode(sha256(convert_to(ledger.audit_event_json(new), 'UTF8')), 'hex');
    return new;
end
$$;

create trigger audit_event_chain before insert on ledger.audit_event
for each row execute function ledger.chain_audit_event();

create function ledger.refuse_audit_change() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp
as $$
begin
    if tg_op = 'DELETE' then
        if current_setting('bulkhead.audit_log', true) = 'remove' and old.at < now() - interval '30 days' then
            return old;
        end if;
    end if;
    raise exception 'the audit log is append-only' using
        errcode = 'insufficient_privilege',
        hint = 'Old events are removed by BULKHEAD_KEEP_AUDIT_LOG.';
end
$$;

create trigger audit_event_is_kept before update or truncate on ledger.audit_event
for each statement execute function ledger.refuse_audit_change();
create trigger audit_event_is_not_deleted before delete on ledger.audit_event
for each row execute function ledger.refuse_audit_change();

-- Remove the oldest events: only a prefix, only what is older than 30 days. The event that records it has the hash of the last
-- removed one, which the first remaining one refers to. Nothing is done for less than a day's events, or it would run each time.
create function ledger.remove_audit_events(older_than interval, is_dry_run boolean) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    last_seq bigint;
    last_hash text;
    removed bigint;
begin
    if older_than < interval '30 days' then
        raise exception 'events of the audit log are kept for 30 days at least' using errcode = 'check_violation';
    end if;
    perform pg_advisory_xact_lock(727074003);
    if not exists (select from ledger.audit_event where at < now() - older_than - interval '1 day') then
        return 0;
    end if;
    select max(seq) into last_seq
    from ledger.audit_event
    where seq < coalesce((select min(seq) from ledger.audit_event where at >= now() - older_than), 9223372036854775807);
    if last_seq is null then
        return 0;
    end if;
    select hash into last_hash from ledger.audit_event where seq = last_seq;
    select count(*) into removed from ledger.audit_event where seq <= last_seq;
    if is_dry_run then
        return removed;
    end if;
    insert into ledger.audit_event (action, actor_kind, actor_name, target_kind, result, details)
    values (
        'audit_log_removal', 'system', 'retention', 'audit_log', 'ok',
        jsonb_build_object('removed', removed::text, 'last_seq', last_seq::text, 'last_hash', last_hash)
    );
    perform set_config('bulkhead.audit_log', 'remove', true);
    delete from ledger.audit_event where seq <= last_seq;
    perform set_config('bulkhead.audit_log', '', true);
    return removed;
end
$$;

revoke all on function ledger.audit_event_json from public;
revoke all on function ledger.chain_audit_event from public;
revoke all on function ledger.refuse_audit_change from public;
revoke all on function ledger.remove_audit_events from public;

-- What each kind of process last started with, so that a start with other settings is recorded. Values are hashed with the salt.
create table ledger.process_settings (
    process text primary key,
    salt text not null,
    digests jsonb not null,
    seen_at timestamptz not null default now()
);

comment on table ledger.process_settings is 'A salted hash of each setting that a kind of process last started with.';

-- Keys that expire, that are rotated, and the one for emergencies.
alter table access.api_key
add column expires_at timestamptz,
add column expiry_recorded_at timestamptz,
add column generation integer not null default 1,
add column rotated_at timestamptz,
add column previous_hash text,
add column previous_until timestamptz,
add column last_address text not null default '',
add column is_break_glass boolean not null default false,
add column told_at timestamptz,
add constraint api_key_break_glass check (not is_break_glass or role = 'admin');

comment on column access.api_key.expires_at is 'From then on the key is refused; null: never.';
comment on column access.api_key.expiry_recorded_at is 'When the audit log was told that the key has expired.';
comment on column access.api_key.generation is 'How many secrets the key has had: a session belongs to one of them.';
comment on column access.api_key.previous_hash is 'The hash of the secret before the last rotation, valid until previous_until.';
comment on column access.api_key.is_break_glass is 'A key for emergencies: each use of it is recorded, and told to admins.';
comment on column access.api_key.told_at is 'When admins were last told that a break-glass key is used.';

create index api_key_expires_at on access.api_key (expires_at) where expires_at is not null;
