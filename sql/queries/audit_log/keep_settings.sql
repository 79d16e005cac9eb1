-- audit_log/keep_settings: what a kind of process started with now.
insert into ledger.process_settings (process, salt, digests)
values (:process, :salt, cast(:digests as jsonb))
on conflict (process) do update
    set
        salt = excluded.salt,
        digests = excluded.digests,
        seen_at = now()
