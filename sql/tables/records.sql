-- Records of any shape: what is neither id, parentId nor name is kept in attributes. One row per record; merged on id.
create table if not exists warehouse.records (
    id text primary key,
    "parentId" text,
    name text,
    attributes jsonb not null default '{}',
    _import_id uuid not null,
    _row bigint not null,
    _loaded_at timestamptz not null default now()
);

create index if not exists "records_parentId_id" on warehouse.records ("parentId", id);
