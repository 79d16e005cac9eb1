-- audit_log/settings: what a kind of process last started with; its row is locked: one of several starts records a change.
select
    process_settings.salt,
    process_settings.digests
from ledger.process_settings
where process_settings.process = :process
for update
