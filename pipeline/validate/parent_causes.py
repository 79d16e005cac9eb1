"""Why parents are missing: what each value probably means, with a hint on what to do.

Each cause is a query over all missing parents at once, so that the number of rows does not matter. Pieces of texts are compared
for up to COMPARED_MOST different parents only. The first cause that applies is the one that is named:

1. it is an error of a spreadsheet (#REF!), or the name of a column, from a second header;
2. it looks like an ID: the same but for case, Unicode form, look-alike letters, kind of space, zeros or ".0";
3. it means "none": 0, NULL, n/a, #, root, a negative number where no ID is one, ...;
4. it is the value of another column, such as the name;
5. it has several IDs; 6. it contains an ID, or one ID ends with it;
7. it is the number of a row or line, or the first record seems to describe the columns;
8. it may be a slip in spelling (missing_parents.py);
9. it is the only one that is missing, and no record is a root: it may be the root itself (missing_parents.py).
"""

from __future__ import annotations

import re
from collections.abc import Collection

import duckdb

from pipeline.sqlfiles import literal, quoted
from pipeline.staging.database import has_wide_rows, number
from pipeline.validate.spelling_differences import describe_difference, plain_spelling, shown

COMPARED_MOST = 100_000
"""Up to so many missing parents are compared with the IDs in more ways than one, and searched for IDs."""

COLUMNS_MOST = 24
"""Other columns in which the missing parents are looked for."""

_WRITTEN = r"""
    0 | 00 | -1 | - | -- | --- | _ | . | # | * | ? | / | \ | \n | ~ | x | – | — | null | (null) | [null] | <null>
    | nil | nul | none | (none) | <none> | [none] | no | n/a | #n/a | n.a. | n.a | na | <na> | nan | nat | empty |
    (empty) | <empty> | blank | (blank) | (leer) | leer | undefined | void | missing | unknown | false | nothing |
    no parent | noparent | no_parent | without | top | root | (root) | <root> | [root] | /root | dbnull | "" | ''
    | {} | [] | () | kein | keine | keiner | ohne | aucun | aucune | ninguno | ninguna | nenhum | nenhuma |
    nessuno | nessuna | geen | ingen | inget | brak | нет | не указано | なし | 無し | 无 | 無 | 없음 |
    00000000-0000-0000-0000-000000000000
"""
NONE_WORDS = frozenset(" ".join(word.split()) for word in re.split(r"\s\|\s", _WRITTEN)) | {"|"}
"""What people and programs write for a parent that is not there, in lower case."""

NAMES_TOO = frozenset(("root", "top", "unknown", "missing", "nothing", "without", "blank", "void", "empty"))
"""Those of them that are a name if a record has it."""

_NUMBERS_LEAST = 3
_IDS = "(select id from edges where id is not null)"
_REST = "(select parent from absent_values anti join causes using (parent))"


def find_causes(connection: duckdb.DuckDBPyConnection, missing: int, *, of_loaded: bool = False) -> None:
    """Make ``causes`` (parent, alike, hint) from ``orphans``; ``alike`` is the ID that was meant, if it is one.

    ``missing``: how many different parents are missing. ``of_loaded``: there is no file, so no hint names an option of reading
    one, or a row. Reads ``edges``, ``raw``, ``lines`` and ``names``.
    """
    connection.execute("create or replace temp table causes (parent varchar, alike varchar, hint varchar)")
    if not missing:
        return
    connection.execute("create or replace temp table absent_values as select distinct parent from orphans")
    few = missing <= COMPARED_MOST
    if not of_loaded:
        connection.execute(_ERRORS)
        connection.execute(_HEADERS)
    if few:
        _find_look_alikes(connection)
    else:
        connection.execute(_DECIMALS)
    connection.execute(_none(NONE_WORDS - NAMES_TOO, of_loaded))
    if not of_loaded:
        connection.execute(_NEGATIVE)
    _find_other_columns(connection, of_loaded)
    connection.execute(_none(NAMES_TOO, of_loaded))
    if few:
        connection.execute(_SEVERAL)
        connection.execute(_CONTAINED)
        connection.execute(_ENDS)
        if not of_loaded:
            connection.execute(_DESCRIPTIONS)
    if not of_loaded:
        connection.execute(_ROWS)


# --- What a spreadsheet or a second header left ---

SPREADSHEET_ERROR = (
    r"#{3,}|#(N/?A|REF!|VALUE!|NAME\?|DIV/0!|NUM!|NULL!|SPILL!|CALC!|ERROR!|FIELD!|BLOCKED!|CONNECT!|BUSY!|GETTING_DATA)"
    r"|LOADING\.\.\."
)
"""What spreadsheets save for a formula without a value, or a column that is too narrow, in upper case."""

_ERRORS = f"""
insert into causes
select parent, null,
    format('"{{}}" is an error of a spreadsheet, saved as text. Correct it there, and save the file again.', parent)
    || case when upper(parent) in ('#N/A', '#NA')
        then format(' If it means that a record has no parent: no_parent_values={{}}.', parent) else '' end
from absent_values where regexp_full_match(upper(parent), {literal(SPREADSHEET_ERROR)}) and parent not in {_IDS}
"""

_HEADERS = r"""
insert into causes
select orphans.parent, null, concat(
    'It is the name of the column: this may be a second header. ',
    'If so, leave it out' || ': clean={"skip_rows": [' || min(coalesce(first_line + _row - first_row, _row)) || ']}.'
)
from orphans asof left join lines on orphans._row >= lines.first_row
where length(orphans.parent) < 100
    and lower(regexp_replace(orphans.parent, '[\s_-]', '', 'g'))
        in (select lower(regexp_replace(names.parent, '[\s_-]', '', 'g')) from names)
group by orphans.parent
"""

# --- The same but for what one does not see ---

_LOOK_ALIKES = f"""
with wanted as (select parent, {plain_spelling("parent")} as spelling from {_REST}),
there as (select id, {plain_spelling("id")} as spelling from {_IDS})
select wanted.parent, min(there.id)
from wanted join there on wanted.spelling = there.spelling where wanted.spelling != '' group by wanted.parent
"""

_DECIMALS = f"""
insert into causes
select parent, id, 'Did you mean ' || id || '? ' || {literal(describe_difference("1.0", "1"))}
from {_REST} join {_IDS} on id = regexp_replace(parent, '[.]0+$', '') where regexp_full_match(parent, '[0-9]+[.]0+')
"""


def _find_look_alikes(connection: duckdb.DuckDBPyConnection) -> None:
    pairs = connection.execute(_LOOK_ALIKES).fetchall()
    names = connection.execute("select key, parent from names").fetchone() or ()
    hints = [f"Did you mean {shown(meant)}? {describe_difference(parent, meant, names)}".rstrip() for parent, meant in pairs]
    connection.execute(
        "insert into causes select unnest($parents::varchar[]), unnest($ids::varchar[]), unnest($hints::varchar[])",
        {"parents": [parent for parent, _ in pairs], "ids": [meant for _, meant in pairs], "hints": hints},
    )


# --- None ---

_NONE_HINT = 'If "{}" means that a record has no parent, leave it empty, or declare it: no_parent_values={}.'


def _none(words: Collection[str], of_loaded: bool) -> str:
    """Return the statement that finds parents that mean "none"."""
    said = 'If "{}" means that a record has no parent, load the record again without one.' if of_loaded else _NONE_HINT
    return f"""
        insert into causes select parent, null, format({literal(said)}, parent, parent)
        from {_REST} where lower(trim(parent)) in ({", ".join(map(literal, sorted(words)))})"""


_NEGATIVE = f"""
insert into causes select parent, null, format({literal(_NONE_HINT)}, parent, parent)
from {_REST} where regexp_full_match(parent, '-[0-9]+') and not exists (from {_IDS} where starts_with(id, '-'))
"""

# --- The value of another column ---


def _find_other_columns(connection: duckdb.DuckDBPyConnection, of_loaded: bool) -> None:
    """Look for the missing parents in the other columns of the file, the ones first in which most of them are found.

    A number is in many columns by chance: it counts only where most of the missing parents are.
    """
    if has_wide_rows(connection):
        return
    ((key, parent),) = connection.execute("select key, parent from names").fetchall()
    columns = [str(row[0]) for row in connection.execute("describe raw").fetchall()]
    others = [name for name in columns if name not in ("_row", key, parent)][:COLUMNS_MOST]
    if key not in columns or not others:
        return
    connection.execute("create or replace temp table unexplained as from " + _REST)
    wanted = number(connection, "select count(*) from unexplained")
    counts = [f"count(distinct {quoted(name)}) filter ({quoted(name)} in (select parent from unexplained))" for name in others]
    ((*found,),) = connection.execute(f"select {', '.join(counts)} from raw").fetchall()
    for less, name in sorted((-there, name) for there, name in zip(found, others, strict=True) if there):
        by_chance = -less < _NUMBERS_LEAST or 2 * -less <= wanted
        said = literal(_LOADED_BEARER if of_loaded else _BEARER)
        query = _OF_COLUMN.format(rest=_REST, key=quoted(key), column=quoted(name), said=said)
        connection.execute(query, {"name": name, "pattern": r"\p{L}" if by_chance else ""})
    connection.execute("drop table unexplained")


_BEARER = 'Record "{}" has that {}; parents are given by {}: parent_by={}.'
_LOADED_BEARER = 'Record "{}" has that {}: its ID is meant.'
_OF_COLUMN = """
insert into causes
with bearers as (
    select {column} as parent, min({key}) as id, max({key}) as last, count(distinct {key}) as bearers
    from raw semi join {rest} wanted on {column} = wanted.parent where {key} != '' and regexp_matches({column}, $pattern)
    group by {column}
)
select parent, null, case
    when bearers = 1
        then format({said}, id, $name, $name, $name)
    else format(
        'Several records have that {{}}, for instance "{{}}", "{{}}". Write the ID of one of them.', $name, id, last
    )
end
from bearers
"""

# --- IDs within the value ---

_SEPARATORS = r"[|,;\n\t]|\s/\s|\s&\s|\s[+]\s|\s"
_QUOTES = "[]{}()<>\"'' "
_PARTS = f"""
    select distinct parent, trim(unnest(regexp_split_to_array(parent, '{_SEPARATORS}')), '{_QUOTES}') as id
    from {_REST} where length(parent) between 3 and 1000
"""
_SEVERAL = f"""
insert into causes
with parts as ({_PARTS}),
found as (
    select parts.parent, count(*) filter (parts.id != '') as parts, count(there.id) as ids, min(there.id, 3) as firsts
    from parts left join (select distinct id from {_IDS}) there on parts.id = there.id group by parts.parent
)
select parent, null, format('It has several IDs: "{{}}". A record can have only one parent.',
    array_to_string(list_sort(firsts), '", "'))
from found where ids > 1 and ids = parts
"""

_TOKENS = r"[\p{L}\p{N}]+(?:[-_./:][\p{L}\p{N}]+)*"
_CONTAINED = f"""
insert into causes
with tokens as (
    select distinct parent, unnest(list_concat(
        regexp_extract_all(parent, '{_TOKENS}'), regexp_extract_all(parent, '[\\p{{L}}\\p{{N}}]+'),
        regexp_split_to_array(parent, '\\s[-–—:|/>]\\s|:\\s')
    )) as id
    from {_REST} where length(parent) between 2 and 1000
),
found as (
    select tokens.parent, list_sort(list(distinct tokens.id)) as ids from tokens semi join {_IDS} using (id) group by parent
)
select parent, null, format('It contains the ID "{{}}": write only the ID.', list_aggregate(
    list_filter(ids, lambda one: length(one) = list_max(list_transform(ids, lambda id: length(id)))), 'min'
))
from found
"""

_DESCRIPTIONS = f"""
insert into causes
select orphans.parent, null, 'The first record may be a second header, of words. If so, leave it out: clean={{"skip_rows": ['
    || coalesce((select min(first_line) from lines where first_row = 1), 1) || ']}}.'
from orphans join {_REST} rest using (parent)
where orphans._row = 1 and regexp_matches(orphans.parent, '\\p{{L}}')
    and (select count(*) from orphans others where others.parent = orphans.parent) = 1
    and exists (from edges where _row = 1 and regexp_matches(id, '\\p{{L}}'))
    and not exists (from edges where _row > 1 and regexp_matches(id, '\\p{{L}}'))
    and exists (from edges where _row > 1)
"""
_STEP = "'[^/#:|>]+$'"
_ENDS = f"""
insert into causes
with last_steps as (select regexp_extract(id, {_STEP}) as step, min(id) as id from {_IDS} group by step having count(*) = 1)
select parent, null, format('The ID "{{}}" ends with it: write the whole ID.', last_steps.id)
from {_REST} rest join last_steps on rest.parent = last_steps.step and last_steps.id != parent
where length(parent) > 1
"""

# --- The number of a row or a line: only if no ID is a number ---

_NUMBER = "[1-9][0-9]{0,11}"
_ROWS = f"""
insert into causes
with numbers as (
    select parent, parent::bigint as number from {_REST}
    where regexp_full_match(parent, '{_NUMBER}') and not exists (from {_IDS} where regexp_full_match(id, '{_NUMBER}'))
),
of_file as (select _row, id from edges where _row is not null and exists (from numbers)),
located as (
    select of_file._row, of_file.id, coalesce(first_line + of_file._row - first_row, of_file._row) as line
    from of_file asof left join lines on of_file._row >= first_row
)
select numbers.parent, null, concat(
    'No ID is a number. If it is the number of a row or a line, write the ID:',
    ' row ' || numbers.parent || ' has "' || by_row.id || '".', ' Line ' || numbers.parent || ' has "' || by_line.id || '".'
)
from numbers left join of_file by_row on numbers.number = by_row._row
left join located by_line on numbers.number = by_line.line
where by_row.id is not null or by_line.id is not null
"""
