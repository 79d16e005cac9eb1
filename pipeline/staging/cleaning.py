"""Clean the values of ``raw`` by declared rules, before they are cast: ``cleaned`` has the same rows and columns.

``raw`` keeps the file's own values, which findings and results files show. Each rule that changed anything becomes one warning,
with how many values it changed and examples. Without rules nothing is copied, and ``raw`` is read as it is.

Where a shape makes ids and parents of other columns, the rules come first (read/shapes/apply.py): otherwise " Europe" and
"Europe" would become two nodes, and then one id.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import duckdb

from pipeline.datasets.cleaning_rules import OF_WHOLE_CELLS, ValueRule
from pipeline.datasets.dataset import Dataset
from pipeline.datasets.upload_rules import cleaning_of
from pipeline.display import counted
from pipeline.sqlfiles import literal, quoted
from pipeline.staging.cleaning_sql import changes_count, cleaned_value
from pipeline.staging.database import FINDINGS, by_rows
from pipeline.staging.types import NUMBER_TYPES, parts_of_type, reading_of_type

_EXAMPLES = 3
_EXAMPLE_LENGTH = 60


@dataclass(frozen=True)
class _Step:
    """One rule on one column: SQL of the value ``after`` it, over the value ``before`` it, which is a column's name."""

    rule: ValueRule
    column: str
    before: str
    after: str
    sql: str


@dataclass(frozen=True)
class Columns:
    """Which columns are cleaned, and how, where it is not by their own names only.

    ``as_key``: columns that get the rules of the key and the parent too, since these are made of them. ``indented``: columns
    whose text begins with an indentation, with the regular expression of it, which rules for spaces must leave. ``only``: the
    columns to clean; None: all.
    """

    as_key: Collection[str] = ()
    indented: Mapping[str, str] = field(default_factory=dict)
    only: Collection[str] | None = None


def rows_to_cast(connection: duckdb.DuckDBPyConnection, dataset: Dataset) -> str:
    """Return the table with the values to cast: ``raw``, or ``cleaned``, which is made if there are rules and it is not there.

    Raises InvalidRequest or InvalidConfiguration for rules that mean nothing.
    """
    if not cleaning_of(dataset).rules:
        return "raw"
    if not connection.execute("from duckdb_tables() where table_name = 'cleaned'").fetchall():
        clean_rows(connection, dataset, Columns(as_key=(dataset.parent,) if dataset.shape.children else ()))
    return "cleaned"


def clean_rows(
    connection: duckdb.DuckDBPyConnection, dataset: Dataset, columns: Columns = Columns(), *, to: str = "cleaned"
) -> None:
    """Make the table ``to`` of ``raw`` by the dataset's rules, and add one warning for each rule that changed anything."""
    connection.execute(FINDINGS)
    present = [str(row[0]) for row in connection.execute("describe raw").fetchall()]
    levels = [[*level] for level in _levels(dataset, [name for name in present if _is_of_file(name)], columns)]
    last = {step.column: step.after for level in levels for step in level}
    chain = _chain(levels, "(from raw where {range})")
    texts = [f"nullif({quoted(last[name])}, '') as {quoted(name)}" if name in last else quoted(name) for name in present]
    kinds = ", ".join(f"{quoted(name)} {'bigint' if name == '_row' else 'varchar'}" for name in present)
    connection.execute(f"create or replace table {to} ({kinds})")
    by_rows(connection, f"insert into {to} select {', '.join(texts)} from {chain}", of="raw")
    connection.execute(
        'create or replace temp table changes (rule varchar, "column" varchar, changed bigint, examples varchar[][])'
    )
    for level in levels:
        by_rows(connection, _count_changes(level, chain), of="raw")
    _report(connection)
    connection.execute("drop table changes")


def _is_of_file(name: str) -> bool:
    """Return whether a column of ``raw`` is one of the file: readers add some, whose names no file can have."""
    return name != "_row" and not name.startswith("\x02")


def with_cleaned_ids(relation: str, dataset: Dataset, names: Sequence[str]) -> str:
    """Return SQL of a relation with ``cleaned_<name>`` beside each column of texts that are ids, by the rules of the key."""
    current: Mapping[str, str] = {name: name for name in names}
    levels: list[list[_Step]] = []
    for number, rule in enumerate(cleaning_of(dataset).rules):
        if _meant_for(rule, dataset, [dataset.key]):
            level = [
                _Step(rule, name, now, f"_id {number} {name}", cleaned_value(rule, dataset.key, quoted(now), is_number=False))
                for name, now in current.items()
            ]
            current = {step.column: step.after for step in level}
            levels.append(level)
    picks = ", ".join(f"{quoted(now)} as {quoted('cleaned_' + name)}" for name, now in current.items())
    made = ", ".join(quoted(step.after) for level in levels for step in level)
    return f"(select *{f' exclude ({made})' if made else ''}, {picks} from {_chain(levels, relation)})"


def _chain(levels: Sequence[Sequence[_Step]], relation: str) -> str:
    """Return the relation with the value after each step in a column of its own."""
    for level in levels:
        relation = f"(select *, {', '.join(f'{step.sql} as {quoted(step.after)}' for step in level)} from {relation})"
    return relation


def _levels(dataset: Dataset, present: Sequence[str], columns: Columns) -> Iterator[list[_Step]]:
    """Yield for each rule its steps: one for each column of the file that it is for."""
    current: Mapping[str, str] = {name: name for name in present}
    numbers = {column.name for column in dataset.columns if parts_of_type(column.type)[0] in NUMBER_TYPES}
    for number, rule in enumerate(cleaning_of(dataset).rules):
        steps = [
            _Step(
                rule,
                name,
                before=current[name],
                after=f"_cleaned {number} {name}",
                sql=_cleaned(rule, name, quoted(current[name]), columns, is_number=name in numbers),
            )
            for name in _columns_for(rule, dataset, present, columns)
        ]
        current = {**current, **{step.column: step.after for step in steps}}
        if steps:
            yield steps


def _cleaned(rule: ValueRule, name: str, value: str, columns: Columns, *, is_number: bool) -> str:
    """Return the SQL of the value after the rule, with its indentation, if it has one."""
    if name not in columns.indented or rule.name in OF_WHOLE_CELLS:
        return cleaned_value(rule, name, value, is_number=is_number)
    lead = f"regexp_extract({value}, {literal(columns.indented[name])})"
    return f"{lead} || {cleaned_value(rule, name, f'substr({value}, length({lead}) + 1)', is_number=is_number)}"


def _columns_for(rule: ValueRule, dataset: Dataset, present: Sequence[str], columns: Columns) -> list[str]:
    """Return the columns of the file that a rule is for."""
    among = [name for name in present if columns.only is None or name in columns.only]
    has_key = rule.name != "date_format" and bool(_meant_for(rule, dataset, [dataset.key, dataset.parent]))
    own = _meant_for(rule, dataset, among)
    return [name for name in among if name in own or (has_key and name in columns.as_key)]


def _meant_for(rule: ValueRule, dataset: Dataset, present: Sequence[str]) -> list[str]:
    """Return the columns that a rule names, or those of the types that it is meant for."""
    if rule.name == "date_format":
        return [name for name in present if name in rule.value]
    if rule.columns is not None:
        return [name for name in present if name in rule.columns]
    types = {column.name: column.type for column in dataset.columns}
    if rule.name in ("decimal", "thousands"):
        return [name for name in present if parts_of_type(types.get(name, "text"))[0] in NUMBER_TYPES]
    kept = [name for name in present if name != dataset.rest and types.get(name) not in ("json", "jsonb")]
    if rule.name == "case":
        return [name for name in kept if reading_of_type(types.get(name, "text")).type == "varchar"]
    return kept


def _count_changes(level: Sequence[_Step], chain: str) -> str:
    """Return the statement that adds to ``changes`` how many values each step changed, with the first of them."""
    members = []
    for step in level:
        before, after = quoted(step.before), quoted(step.after)
        changed = f"{before} is distinct from {after} and {changes_count(step.rule, before)}"
        example = f"[left({before}, {_EXAMPLE_LENGTH}), left(coalesce({after}, ''), {_EXAMPLE_LENGTH})]"
        members.append(
            f"{{'rule': '{step.rule.name}', 'column': {literal(step.column)}, 'changed': count(*) filter ({changed}),"
            f" 'examples': arg_min({example}, _row, {_EXAMPLES}) filter ({changed})}}"
        )
    return f"insert into changes select unnest([{', '.join(members)}], recursive := true) from {chain}"


def _report(connection: duckdb.DuckDBPyConnection) -> None:
    """Add one warning for each rule that changed any value."""
    found = connection.execute(
        """select rule, sum(changed)::bigint, flatten(list(examples order by "column"))[1:3],
            list(distinct "column" order by "column")
        from changes where changed > 0 group by rule order by rule"""
    ).fetchall()
    for rule, changed, examples, columns in found:
        show = _with_code_points if rule == "nfc" else _quoted
        shown = ", ".join(f"{show(before)} -> {show(after) if after else 'empty'}" for before, after in examples)
        message = f"The rule {rule} changed {counted(changed, 'value')} ({', '.join(columns[:5])}), for instance {shown}."
        add_warning(
            connection,
            message,
            code="cleaned_values",
            hint="Nothing needs to be done. Results files have the values of the file.",
        )


def add_warning(
    connection: duckdb.DuckDBPyConnection,
    message: str,
    *,
    code: str,
    hint: str,
    column: str | None = None,
    value: str | None = None,
) -> None:
    """Add one warning about the file as a whole."""
    connection.execute(
        """insert into findings (code, severity, message, hint, "column", value)
        values ($code, 'warning', $message, $hint, $column, $value)""",
        {"code": code, "message": message, "hint": hint, "column": column, "value": value},
    )


def _quoted(text: str) -> str:
    r"""Return a value in quotes, which show its outer spaces, unless it has quotes itself; what is invisible as ``\u00a0``."""
    seen = "".join(one if one.isprintable() else f"\\u{ord(one):04x}" for one in text)
    return seen if '"' in seen else f'"{seen}"'


def _with_code_points(text: str) -> str:
    r"""Return a value with all but ASCII as ``\u0308``: the Unicode forms of a letter look alike."""
    return f'"{text.encode("ascii", "backslashreplace").decode()}"'
