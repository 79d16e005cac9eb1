-- Countries and their subdivisions (ISO 3166), each below the place it lies in. One row per place; merged on id.
create table if not exists warehouse.places (
    id text primary key,
    "parentId" text,
    name text not null,
    kind text not null,
    alpha_3 text,
    numeric_code integer,
    flag text,
    _import_id uuid not null,
    _row bigint not null,
    _loaded_at timestamptz not null default now()
);

create index if not exists "places_parentId_id" on warehouse.places ("parentId", id);
