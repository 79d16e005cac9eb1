-- Writes of other clients to the tables of datasets, one row per transaction, so that an import notices them.
create table ledger.foreign_write (
    dataset text not null,
    transaction xid8 not null,
    operation text not null,
    role text not null,
    client text not null,
    written_at timestamptz not null default clock_timestamp(),
    primary key (dataset, transaction)
);

comment on table ledger.foreign_write is 'Transactions of other clients that wrote to the table of a dataset.';

alter table ledger.import add column warehouse_seen pg_snapshot;

comment on column ledger.import.warehouse_seen is 'The snapshot in which validation began.';

create function ledger.note_foreign_write() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    if coalesce(current_setting('bulkhead.import_id', true), '') = '' then
        insert into ledger.foreign_write (dataset, transaction, operation, role, client)
        values (
            tg_table_name,
            pg_current_xact_id(),
            lower(tg_op),
            session_user,
            coalesce(current_setting('application_name', true), '')
        )
        on conflict do nothing;
    end if;
    return null;
end
$$;

comment on function ledger.note_foreign_write is 'Trigger function of the datasets'' tables; loads set bulkhead.import_id.';

revoke all on function ledger.note_foreign_write from public;
