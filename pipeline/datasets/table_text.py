"""The table of a definition that is kept in the database: read strictly from SQL, and written as SQL by us.

What a person sends is never executed. It is parsed into columns, a key and indexes, and anything else in it is refused; the SQL
that runs is written from what was parsed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import sqlglot
from sqlglot import expressions as exp
from sqlglot.errors import SqlglotError

from pipeline.datasets.table import LINEAGE
from pipeline.errors import InvalidRequest
from pipeline.sqlfiles import literal, opening_comment, quoted

_SPELLED = {"int": "integer", "int2": "smallint", "int4": "integer", "int8": "bigint", "decimal": "numeric", "bool": "boolean"}
_SPELLED |= {"character varying": "varchar", "character": "char", "float": "double precision", "float8": "double precision"}
_SPELLED |= {"float4": "real", "timestamp with time zone": "timestamptz", "timestamp without time zone": "timestamp"}
_PLAIN = ("text", "smallint", "integer", "bigint", "real", "double precision", "boolean", "date", "time", "timestamp")
TYPES = (*_PLAIN, "timestamptz", "numeric", "uuid", "jsonb", "varchar(n)", "char(n)", "numeric(p, s)", "text[]")
"""The types that a column of such a table can have."""

_SIZED = re.compile(r"([a-z][a-z0-9 ]*?) *(?:\( *(\d{1,4}) *(?:, *(\d{1,3}) *)?\))?")
_LINEAGE_SQL = ("_import_id uuid not null", "_row bigint not null", "_loaded_at timestamptz not null default now()")
NAME_BYTES = 63
_RESERVED = frozenset({*LINEAGE, "ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"})


@dataclass(frozen=True)
class TableColumn:
    """A column. ``default`` is an SQL literal that we wrote; None: it has none."""

    name: str
    type: str
    required: bool = False
    default: str | None = None


@dataclass(frozen=True)
class TableText:
    """A table: its columns without those of the lineage, the key, indexes by name, and a sentence about it."""

    name: str
    columns: tuple[TableColumn, ...]
    key: str
    indexes: tuple[tuple[str, tuple[str, ...]], ...] = ()
    comment: str = ""


def type_of(said: str) -> str:
    """Return a type as we spell it: ``int`` is ``integer``. Raises ValueError for one that a column cannot have."""
    text = " ".join(said.lower().split())
    if text == "text[]":
        return text
    match = _SIZED.fullmatch(text)
    name, size, scale = match.groups() if match else (text, None, None)
    name = _SPELLED.get(name, name)
    if name in ("varchar", "char") and scale is None and (size is None or int(size) > 0):
        return f"{name}({int(size)})" if size else ("text" if name == "varchar" else "char(1)")
    if name == "numeric" and size and 0 < int(size) <= 1000 and int(scale or 0) <= int(size):
        return f"numeric({int(size)}, {int(scale or 0)})"
    if size is None and f"{name}" in (*_PLAIN, "timestamptz", "numeric", "uuid", "jsonb"):
        return name
    raise ValueError(f"the type {said!r} is not one of {', '.join(TYPES)}")


def check_column_name(name: str) -> None:
    """Raise ValueError for a name that a column cannot have."""
    if not name.strip() or not name.isprintable() or name != name.strip():
        raise ValueError(f"{name!r} cannot be the name of a column: it has characters that are not printed, or outer spaces")
    if len(name.encode()) > NAME_BYTES:
        raise ValueError(f"{name!r} cannot be the name of a column: it is longer than {NAME_BYTES} bytes")
    if name.casefold() in _RESERVED:
        raise ValueError(f"{name!r} cannot be the name of a column: Bulkhead or PostgreSQL keeps it for itself")


def render(table: TableText) -> str:
    """Return the table as the SQL of ``sql/tables/<name>.sql``. ``parse`` returns the same table."""
    lines = [_line(column, table.key) for column in table.columns] + list(_LINEAGE_SQL)
    target = f"warehouse.{table.name}"
    text = f"create table if not exists {target} (\n    " + ",\n    ".join(lines) + "\n);\n"
    for name, columns in table.indexes:
        text += f"\ncreate index if not exists {quoted(name)} on {target} ({', '.join(map(quoted, columns))});\n"
    comment = "".join(f"-- {line}\n" for line in table.comment.splitlines() if line.strip())
    return comment + text


def _line(column: TableColumn, key: str) -> str:
    parts = [quoted(column.name), column.type]
    if column.name == key:
        parts.append("primary key")
    elif column.required:
        parts.append("not null")
    if column.default is not None:
        parts.append(f"default {column.default}")
    return " ".join(parts)


def parse(sql: str, name: str) -> TableText:
    """Return the table that a file declares. Raises InvalidRequest, naming what is in it beside the table and its indexes."""
    try:
        return _parsed(sql, name)
    except (SqlglotError, ValueError, RecursionError) as error:
        said = str(error).partition("\n")[0]
        raise InvalidRequest(f"sql/tables/{name}.sql cannot be used: {said}.") from error


def _parsed(sql: str, name: str) -> TableText:
    found: TableText | None = None
    indexes: list[tuple[str, tuple[str, ...]]] = []
    for statement in sqlglot.parse(sql, read="postgres"):
        if statement is None:
            continue
        if not isinstance(statement, exp.Create) or statement.kind not in ("TABLE", "INDEX"):
            raise ValueError("it has a statement that is neither CREATE TABLE nor CREATE INDEX")
        if statement.kind == "TABLE":
            if found is not None:
                raise ValueError("it makes two tables")
            found = _table(statement, name)
        else:
            indexes.append(_index(statement, name))
    if found is None:
        raise ValueError("it has no CREATE TABLE")
    known = {column.name for column in found.columns}
    for index, columns in indexes:
        if unknown := [one for one in columns if one not in known]:
            raise ValueError(f"the index {index} is on {unknown[0]}, which the table lacks")
    return replace(found, indexes=tuple(indexes), comment="\n".join(opening_comment(sql)))


def _is_target(table: exp.Expression | None, name: str) -> bool:
    return isinstance(table, exp.Table) and (table.db, table.name, table.catalog) == ("warehouse", name, "")


def _table(statement: exp.Create, name: str) -> TableText:
    schema = statement.this
    if not isinstance(schema, exp.Schema) or not _is_target(schema.this, name):
        raise ValueError(f"it makes another table than warehouse.{name}")
    if statement.args.get("properties") or statement.expression or statement.args.get("replace"):
        raise ValueError("the table has options, or is made of a query")
    columns, key = [], ""
    for part in schema.expressions:
        if not isinstance(part, exp.ColumnDef):
            raise ValueError(f"{part.sql(dialect='postgres')} is no column; name the key behind its column: primary key")
        column, is_key = _column(part)
        if is_key and key:
            raise ValueError("it has two keys; a key is one column")
        key = column.name if is_key else key
        if column.name not in LINEAGE:
            check_column_name(column.name)
            columns.append(column)
    if not key:
        raise ValueError("no column is the primary key")
    folded = [column.name.casefold() for column in columns]
    if len(set(folded)) < len(folded):
        raise ValueError("two columns have names that differ in case only")
    return TableText(name, tuple(columns), key)


def _column(part: exp.ColumnDef) -> tuple[TableColumn, bool]:
    if part.kind is None:
        raise ValueError(f"the column {part.name} has no type")
    kind = type_of(part.kind.sql(dialect="postgres"))
    required = is_key = False
    default: str | None = None
    for constraint in part.find_all(exp.ColumnConstraint):
        said = constraint.kind
        if isinstance(said, exp.PrimaryKeyColumnConstraint):
            is_key = True
        elif isinstance(said, exp.NotNullColumnConstraint):
            required = not said.args.get("allow_null")
        elif isinstance(said, exp.DefaultColumnConstraint):
            default = None if part.name in LINEAGE else _literal(said.this, part.name)
        else:
            raise ValueError(f"the column {part.name} has {constraint.sql(dialect='postgres')}, which is not possible here")
    return TableColumn(part.name, kind, required or is_key, default), is_key


def _literal(value: exp.Expression, column: str) -> str:
    """Return a default as SQL. Only a text, a number, true and false are possible: nothing that PostgreSQL would evaluate."""
    if isinstance(value, exp.Literal):
        return literal(value.name) if value.is_string else _number(value.name, column)
    if isinstance(value, exp.Neg) and isinstance(value.this, exp.Literal) and not value.this.is_string:
        return f"-{_number(value.this.name, column)}"
    if isinstance(value, exp.Boolean):
        return "true" if value.this else "false"
    raise ValueError(f"the default of {column} is no text, number, true or false")


def _number(text: str, column: str) -> str:
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
        raise ValueError(f"the default of {column} is no number")
    return text


def _index(statement: exp.Create, table: str) -> tuple[str, tuple[str, ...]]:
    index = statement.this
    if not isinstance(index, exp.Index) or not _is_target(index.args.get("table"), table) or statement.args.get("unique"):
        raise ValueError(f"an index is not one of warehouse.{table}, or is unique")
    params = index.args.get("params")
    given = {name for name, value in (params.args if params else {}).items() if value}
    method = params.args.get("using") if params else None
    if params is None or given - {"columns", "using"} or (method is not None and method.name.lower() != "btree"):
        raise ValueError(f"the index {index.name} has options")
    names = []
    for one in params.args["columns"]:
        column = one.this if isinstance(one, exp.Ordered) else one
        if not isinstance(column, exp.Column | exp.Identifier) or (isinstance(one, exp.Ordered) and one.args.get("desc")):
            raise ValueError(f"the index {index.name} is on more than columns")
        names.append(column.name)
    check_column_name(index.name)
    return index.name, tuple(names)
