-- audit_log/append: one event. A trigger gives it its number, its time and its place in the hash chain.
insert into ledger.audit_event (
    action,
    actor_kind,
    actor_id,
    actor_name,
    target_kind,
    target_id,
    result,
    status,
    reason,
    address,
    user_agent,
    request_id,
    trace_id,
    details
)
values (
    :action,
    :actor_kind,
    :actor_id,
    :actor_name,
    :target_kind,
    :target_id,
    :result,
    :status,
    :reason,
    :address,
    :user_agent,
    :request_id,
    :trace_id,
    cast(:details as jsonb)
)
