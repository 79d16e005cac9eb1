-- audit_log/in_order: the events that fit the filters, oldest first, after one of them: for exports and verification.
select
    event.seq,
    event.at,
    event.action,
    event.actor_kind,
    event.actor_id,
    event.actor_name,
    event.target_kind,
    event.target_id,
    event.result,
    event.status,
    event.reason,
    event.address,
    event.user_agent,
    event.request_id,
    event.trace_id,
    event.details,
    event.previous,
    event.hash
from ledger.audit_event as event
where
    event.seq > :after
    and (cast(:action as text) is null or event.action = :action)
    and (cast(:actor as text) is null or event.actor_id = :actor or strpos(lower(event.actor_name), lower(:actor)) > 0)
    and (cast(:target as text) is null or event.target_id = :target)
    and (cast(:result as text) is null or event.result = :result)
    and (cast(:since as timestamptz) is null or event.at >= :since)
    and (cast(:until as timestamptz) is null or event.at < :until)
order by event.seq
limit :limit
