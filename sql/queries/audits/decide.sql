-- audits/decide: what recipients are notified of after an audit.
update ledger.audit
set message = :message
where id = :id
