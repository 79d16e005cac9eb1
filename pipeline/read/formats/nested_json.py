"""Nested JSON: records that hold their children, ``{"id": "1", "children": [{"id": "2"}]}``, flattened on the way in.

A tree may be as large as the file and deeper than any parser's stack, so it is walked member by member; what is kept are the
records that are still open, one a level. Rows are numbered where records begin. A parent's id may stand behind its children:
so a row first learns the number of the row it stands under, and its parent's id when all is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pyarrow as pa

from pipeline.read.formats.json_tokens import Text
from pipeline.read.raw_tables import RawTables
from pipeline.sqlfiles import quoted
from pipeline.staging.database import VALUE_LENGTH


class Found(NamedTuple):
    """A value where a record should be. ``above`` is the row of the record that it stands under, 0 if it heads a tree."""

    row: int
    line: int
    value: Any
    above: int = 0
    in_tree: bool = False  # it stands under another record, or says what stands under it


class Misplaced(dict[str, Any]):
    """A record whose children are not in a list."""


@dataclass
class _Open:
    """A record whose end has not come yet."""

    row: int
    line: int
    above: int
    in_tree: bool
    members: list[tuple[str, Any]] = field(default_factory=list)
    size: int = 0
    lists: int = 0  # of children
    among_children: bool = False  # what comes next stands under it
    after_value: bool = False  # so that a comma must come, or the end


def walk(text: Text, children: str) -> Iterator[Found]:
    """The records of the tree that comes next, each when it ends. Raises Unreadable for what is not JSON, or too deep."""
    if text.peek() != "{":
        yield Found(text.next_row(), text.line, text.value())
        return
    stack = [_begin(text, 0)]
    while stack:
        record = stack[-1]
        if text.peek() == ("]" if record.among_children else "}"):
            text.expect(text.peek())
            if not record.among_children:
                stack.pop()
                yield _ended(record, text, children)
            record.among_children, record.after_value = False, True
            continue
        if record.after_value:
            text.expect(",")
        record.after_value = True
        if not record.among_children:
            _member(record, text, children)
        elif text.peek() != "{":
            yield Found(text.next_row(), text.line, text.value(), record.row, in_tree=True)
        elif len(stack) < text.limits.tree_depth:
            stack.append(_begin(text, record.row))
        else:
            raise text.broken(f"records stand under records more than {text.limits.tree_depth:,} deep")


def _begin(text: Text, above: int) -> _Open:
    text.peek()
    record = _Open(text.next_row(), text.line, above, in_tree=above > 0)
    text.expect("{")
    return record


def _member(record: _Open, text: Text, children: str) -> None:
    """Take the next key, and its value; or go in among the children."""
    if text.peek() != '"':
        raise text.broken(f"expected a key in quotes, found {text.peek()!r}")
    key = text.value()
    text.expect(":")
    if key == children:
        record.lists += 1
        record.in_tree = True
        if text.peek() == "[":
            text.expect("[")
            record.among_children, record.after_value = True, False
            return
    record.members.append((key, text.value()))
    record.size += text.taken
    if record.size > text.limits.record_bytes:
        raise text.broken(f"a record is longer than {text.limits.record_bytes:,} bytes")


def _ended(record: _Open, text: Text, children: str) -> Found:
    own = [(key, value) for key, value in record.members if key != children]
    value = text.gathered(own, twice=record.lists > 1)
    if any(key == children and value is not None for key, value in record.members):
        value = Misplaced(value)
    return Found(record.row, record.line, value, record.above, record.in_tree)


# --- From rows to parents ---


_NESTED = pa.schema([("_row", pa.int64()), ("above", pa.int64())])
_ADOPTED = """
create or replace temp table adopted as
select child._row, child.{parent} as said, above.{key} as id, first_line + child._row - first_row as line
from nested join raw child on nested._row = child._row join raw above on nested.above = above._row
asof left join lines on child._row >= first_row
"""
_FIND = """
insert into findings by name
select
    'malformed_row' as code, 'error' as severity, _row as row, line, $column as "column", left(said, $most) as value,
    case
        when coalesce(id, '') = '' then 'The record stands under one that has no id.'
        else 'The record names another parent than ' || left(id, $most) || ', under which it stands.'
    end as message,
    case
        when coalesce(id, '') = '' then 'Give the record above it an id.'
        else 'Leave ' || $column || ' out, or take the record out of the list.'
    end as hint
from adopted where coalesce(id, '') = '' or said != id
"""


def keep(nested: list[tuple[int, int]], staging: RawTables) -> None:
    """Store which rows, the first of each pair, stand under which."""
    staging.connection.execute("create temp table if not exists nested (_row bigint, above bigint)")
    if nested:
        below, above = zip(*nested, strict=True)
        staging.insert("nested", pa.Table.from_arrays([pa.array(below), pa.array(above)], schema=_NESTED))
        nested.clear()


def adopt(staging: RawTables) -> None:
    """Give every row in ``raw`` that stands under another the other's id for its parent; a finding where it cannot be."""
    key, parent = quoted(staging.dataset.key), quoted(staging.dataset.parent)
    staging.connection.execute(_ADOPTED.format(key=key, parent=parent))
    staging.connection.execute(_FIND, {"column": staging.dataset.parent, "most": VALUE_LENGTH})
    staging.connection.execute(
        f"""update raw set {parent} = adopted.id from adopted
        where raw._row = adopted._row and adopted.said is null and adopted.id is not null"""
    )
    staging.connection.execute("drop table nested")
    staging.connection.execute("drop table adopted")
