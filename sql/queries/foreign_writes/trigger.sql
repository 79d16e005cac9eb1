-- foreign_writes/trigger: note each statement of another client that writes to the table.
create or replace trigger bulkhead_foreign_write
after insert or update or delete or truncate on {table}
for each statement execute function ledger.note_foreign_write()
