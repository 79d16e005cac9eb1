-- Each index has the order of the list of imports, so a page of it is read without a sort, whichever filter is set.
create index import_created_by on ledger.import (created_by, created_at desc, id desc);
create index import_state on ledger.import (state, created_at desc, id desc);
create index import_with_errors on ledger.import (created_at desc, id desc)
where findings_errors > 0 or state in ('rejected', 'failed', 'partially_succeeded');

comment on index ledger.import_created_by is 'Finds the imports of a key or a user.';
comment on index ledger.import_state is 'Finds the imports in a state.';
comment on index ledger.import_with_errors is 'Finds the imports with errors, by the condition of imports/page.sql.';

-- Part of a file's name, without an extension of PostgreSQL that a server may not have: pieces of three characters are indexed.
create function ledger.trigrams(value text) returns text[]
language sql immutable strict parallel safe
as $$
    select array(
        select distinct substr(lower(value), piece.start, 3)
        from generate_series(1, length(lower(value)) - 2) as piece (start)
    )
$$;

revoke execute on function ledger.trigrams from public;  -- the names of functions are shown to all that may call them

create index import_filename on ledger.import using gin (ledger.trigrams(filename));

comment on function ledger.trigrams is 'All pieces of three characters of a text, in lower case.';
comment on index ledger.import_filename is 'Finds imports by a part of the file''s name.';
